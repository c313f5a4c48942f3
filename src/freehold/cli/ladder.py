"""`freehold ladder`: models of rising effort on one split, and the cheapest that is good enough."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import SEED, Output, columns, project_of, verb

if TYPE_CHECKING:
    from freehold.train.progress import Progress


@click.command("ladder")
@click.option("--data", "train_file", type=click.Path(path_type=Path), help="Labelled texts.")
@click.option(
    "--dev", "dev_file", type=click.Path(path_type=Path),
    help="Labelled texts kept aside; without them a fifth of --data.",
)  # fmt: skip
@click.option(
    "--rungs",
    help="Some, by commas: tfidf, static, frozen, few-shot, fine-tuned, distilled; by default all.",
)
@click.option("--name", help="The model's name; the project's by default.")
@click.option("--task", help="What to learn; the project's [task] kind by default.")
@click.option("--base", help="Encoder to start from: minilm, a folder, a hub id, or MODEL@V.")
@click.option("--epochs", type=click.IntRange(min=1), help="Of the rung fine-tuned.")
@click.option("--max-length", type=click.IntRange(min=8))
@click.option("--class-weights", type=click.Choice(["none", "balanced"]))
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]))
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--seed", type=SEED, help="Of the split, the training and the intervals.")
@click.option("--html", type=click.Path(path_type=Path), help="Where to write the page.")
@columns
@verb
def command(
    output: Output,
    train_file: Path | None,
    dev_file: Path | None,
    rungs: str | None,
    name: str | None,
    task: str | None,
    html: Path | None,
    text: str | None,
    label: str | None,
    **knobs: Any,
) -> None:
    """Climb from TF-IDF to a distilled transformer: score, cost of training and of serving of each.

    Every rung becomes a version that can be promoted.
    """
    from freehold.app import open_app
    from freehold.app.ladder import climb, split
    from freehold.app.learn import recipe_of
    from freehold.cli.progress import steps, training_text
    from freehold.evaluate.ladder.html import page
    from freehold.evaluate.ladder.terminal import render
    from freehold.store.files import write_text

    project = project_of(output)
    with open_app(project, remark=output.remark) as app:
        read = functools.partial(app.read, task=task, text=text, label=label)
        recipe = recipe_of(app, **knobs)
        train_data = read(app.data_path(train_file, "train"))
        if dev_file is None and (train_file is not None or not project.data.dev):
            train_data, dev_data = split(app, train_data, seed=recipe.seed)
            output.remark(
                f"{len(train_data):,} examples to learn from, {len(dev_data):,} kept aside "
                f"({dev_data.path.parent})"
            )
        else:
            dev_data = read(app.data_path(dev_file, "dev"))
        with steps(output.err) as step:

            def told(rung: str, progress: Progress) -> None:
                if output.err.is_terminal or progress.score is not None:
                    epoch = f"{progress.epoch}/{progress.epochs}"
                    step(f"{rung}: epoch {epoch}, {training_text(progress)}")

            ladder = climb(
                app,
                train_data=train_data,
                dev_data=dev_data,
                recipe=recipe,
                model=name or project.model,
                rungs=[rung.strip() for rung in rungs.split(",")] if rungs else (),
                seed=recipe.seed,
                on_step=step,
                on_progress=told,
            )
    report = html or project.root / "reports" / f"{name or project.model}-ladder.html"
    if ladder.rungs:
        write_text(report, page(ladder, f"Ladder of {name or project.model}"))
    output.document({**ladder.document(), "report": str(report) if ladder.rungs else None})
    output.show(render(ladder))
    if ladder.rungs:
        output.show(f"The page: {report}")
        output.show(f"Next: freehold promote {ladder.recommended.figures.version}")
    output.exit_code = 1 if ladder.failed or ladder.skipped else 0
