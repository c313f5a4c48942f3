"""`freehold attack`: what typing slips, look-alike letters and synonyms do to a version."""

from __future__ import annotations

from pathlib import Path

import click

from freehold.cli.common import SEED, Output, columns, project_of, require_effect, verb

KINDS = ("typo", "swap", "homoglyph", "synonym")


@click.command("attack")
@click.argument("model", required=False)
@click.option("--data", "file", type=click.Path(path_type=Path), help="Labelled texts.")
@click.option(
    "--budget",
    type=click.IntRange(min=2),
    default=60,
    show_default=True,
    help="Questions to the model a text and attack.",
)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="All by default.")
@click.option("--lexicon", type=click.Path(path_type=Path), help="Synonyms, a group a line.")
@click.option(
    "--words",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="Share of a text's words that may be changed; one always may.",
)
@click.option(
    "--similarity",
    type=click.FloatRange(-1, 1),
    default=0.8,
    show_default=True,
    help="Lowest likeness (cosine) of a text with synonyms to the original.",
)
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Texts at most, drawn by the seed.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--html", type=click.Path(path_type=Path), help="Where to write the report page.")
@columns
@verb
def command(
    output: Output,
    model: str | None,
    file: Path | None,
    budget: int,
    kinds: tuple[str, ...],
    lexicon: Path | None,
    words: float,
    similarity: float,
    sample: int,
    seed: int,
    html: Path | None,
    text: str | None,
    label: str | None,
) -> None:
    """Attack MODEL (bank, or bank@2) on labelled texts; the dev file by default."""
    if kinds and "synonym" not in kinds:
        require_effect(["similarity"], "is for --kind synonym.")
    from typing import cast

    from freehold.app import open_app
    from freehold.app.attack import attack
    from freehold.cli.progress import counting_bar
    from freehold.data.perturb.moves import Kind
    from freehold.evaluate.attack.html import render
    from freehold.evaluate.attack.search import Limits
    from freehold.evaluate.attack.terminal import render as table
    from freehold.store.files import write_text

    project = project_of(output)
    with open_app(project) as app:
        version = app.version(model)
        data = app.read(app.data_path(file, "dev"), task=version.task, text=text, label=label)
        with counting_bar(output.err) as bar:
            report = attack(
                app,
                version,
                data,
                limits=Limits(budget, words, similarity),
                kinds=cast("tuple[Kind, ...]", kinds or KINDS),
                lexicon=lexicon,
                most=sample,
                seed=seed,
                on_progress=bar,
            )
        page = html or project.root / "reports" / f"{version.name}-attack-{data.path.stem}.html"
        write_text(page, render(report, title=f"{version.name} under attack on {data.path.name}"))
    output.document(
        {
            "model": version.model,
            "version": version.version,
            "report": str(page),
            **report.document(),
        }
    )
    output.show(table(report))
    output.show(f"The report: {page}")
