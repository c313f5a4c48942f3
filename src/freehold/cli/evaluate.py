"""`freehold evaluate`: scores of a version with intervals, as table, JSON and HTML."""

from __future__ import annotations

from pathlib import Path

import click

from freehold.cli.common import SEED, Output, columns, project_of, verb


@click.command("evaluate")
@click.argument("model", required=False)
@click.option("--data", "file", type=click.Path(path_type=Path), help="Labelled texts.")
@click.option("--html", type=click.Path(path_type=Path), help="Where to write the report page.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the intervals.")
@columns
@verb
def command(
    output: Output,
    model: str | None,
    file: Path | None,
    html: Path | None,
    seed: int,
    text: str | None,
    label: str | None,
) -> None:
    """Score MODEL (bank, or bank@2) on labelled texts; the dev file by default."""
    from freehold.app import open_app
    from freehold.app.learn import evaluate
    from freehold.app.track import log_report
    from freehold.cli.progress import steps
    from freehold.evaluate import figures_view, terminal
    from freehold.evaluate import html as pages
    from freehold.evaluate.figures import Figures
    from freehold.store.files import write_text

    project = project_of(output)
    with open_app(project, remark=output.remark) as app:
        version = app.version(model)
        path = app.data_path(file, "dev")
        data = app.read(path, task=version.task, text=text, label=label)
        with steps(output.err) as step:
            step(f"scoring {version.name} on {len(data):,} examples of {data.path.name}")
            evaluation = evaluate(app, version, data, seed=seed)
        page = html or project.root / "reports" / f"{version.name}-{data.path.stem}.html"
        title = f"{version.name} on {data.path.name}"
        if isinstance(evaluation, Figures):
            table = figures_view.render_terminal(evaluation)
            write_text(page, figures_view.render_page(evaluation, title))
        else:
            table = terminal.render(evaluation)
            write_text(page, pages.render(evaluation, title))
        log_report(app, version, page, evaluation.document())
    output.document(
        {
            "model": version.model,
            "version": version.version,
            "data": data.path.name,
            "report": str(page),
            **evaluation.document(),
        }
    )
    output.show(table)
    output.show(f"The report: {page}")
