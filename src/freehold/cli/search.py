"""`freehold search`: try recipes within a budget and register the best as a version."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import SEED, Output, columns, project_of, require_effect, verb

if TYPE_CHECKING:
    from freehold.app.search import Searched
    from freehold.train.search.conduct import Told


class _Money(click.ParamType[Decimal]):
    name = "amount"

    def convert(self, value: Any, param: Any, ctx: Any) -> Decimal:
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount.", param, ctx)
        if not amount.is_finite() or amount <= 0:
            self.fail(f"{value} has to be above 0.", param, ctx)
        return amount


@click.command("search")
@click.option("--data", "train_file", type=click.Path(path_type=Path), help="Labelled texts.")
@click.option(
    "--dev", "dev_file", type=click.Path(path_type=Path), help="Labelled texts to choose by."
)
@click.option("--name", help="The model's name; the project's by default.")
@click.option("--task", help="What the model does; the project's by default.")
@click.option("--trials", type=click.IntRange(min=1), help="Budget: trials at most.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Budget: minutes at most."
)
@click.option("--money", type=_Money(), help="Budget: machine cost at most ([costs]).")
@click.option("--space", "space_file", type=click.Path(path_type=Path), help="Ranges, as TOML.")
@click.option("--knobs", help="What to vary, each in its usual range: learning_rate,epochs,…")
@click.option("--pruner", type=click.Choice(["median", "hyperband", "none"]))
@click.option("--study", help="The search's name; the model's with a number by default.")
@click.option("--resume", is_flag=True, help="Go on with the last search, or with --study.")
@click.option("--runner", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Trials at a time, with --runner ray (docs/runner.md).",
)
@click.option("--base", help="Encoder to start from: minilm, a folder, a hub id, or MODEL@V.")
@click.option("--max-length", type=click.IntRange(min=8))
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]))
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--seed", type=SEED)
@columns
@verb
def command(
    output: Output,
    train_file: Path | None,
    dev_file: Path | None,
    name: str | None,
    task: str | None,
    trials: int | None,
    minutes: float | None,
    money: Decimal | None,
    space_file: Path | None,
    knobs: str | None,
    pruner: str | None,
    study: str | None,
    resume: bool,
    runner: str,
    workers: int,
    text: str | None,
    label: str | None,
    **recipe: Any,
) -> None:
    """Try recipes on labelled texts; the best by dev score becomes a new version, charged with the
    whole search. Limits count from the search's beginning, also with --resume."""
    if trials is None and minutes is None and money is None:
        raise click.UsageError("Give the search a budget: --minutes, --money or --trials.")
    if runner == "local":
        require_effect(["workers"], "is for --runner ray.")
    from freehold.app import open_app
    from freehold.app.learn import recipe_of
    from freehold.app.search import Plan, search
    from freehold.train.search.budget import Budget

    project = project_of(output)
    with open_app(project, remark=output.remark) as app:
        read = functools.partial(app.read, task=task, text=text, label=label)
        train_data = read(app.data_path(train_file, "train"))
        dev_data = read(app.data_path(dev_file, "dev"))
        plan = Plan(
            budget=Budget(trials, minutes, money),
            knobs=[part.strip() for part in knobs.split(",") if part.strip()] if knobs else None,
            space_file=space_file,
            pruner=pruner,
            study=study,
            resume=resume,
            runner=runner,
            workers=workers,
        )
        if runner == "ray":
            output.remark("Ray is being started or joined, which takes a moment")
        with _bar(output) as (on_change, on_progress):
            found = search(
                app,
                train_data=train_data,
                dev_data=dev_data,
                recipe=recipe_of(app, **recipe),
                model=name,
                plan=plan,
                on_change=on_change,
                on_progress=on_progress,
            )
        page = project.root / "reports" / f"search-{found.study.name}.html"
        _write_page(found, page, project.currency)
    _show(output, found, page, project.currency)


@contextmanager
def _bar(output: Output) -> Iterator[tuple[Any, Any]]:
    """Callbacks that draw the trial under way and say how each one ended."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = output.err
    columns_ = (TextColumn("{task.description}"), BarColumn(bar_width=28), MofNCompleteColumn())
    with Progress(
        *columns_, TextColumn("{task.fields[text]}"), console=console,
        disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        line = bar.add_task("trial …", total=None, text="reading")

        def change(told: Told) -> None:
            if told.state != "running":
                score = f" {max(told.scores):.4f}" if told.scores else ""
                best = "" if told.best is None else f" (best so far {told.best:.4f})"
                why = f": {told.why}" if told.why else ""
                console.print(
                    f"trial {told.number} {told.state}{why}{score}{best}",
                    style="dim",
                    markup=False,
                )

        def progress(number: int, at: Any) -> None:
            text = f"epoch {at.epoch}/{at.epochs}  loss {at.loss:.3f}"
            bar.update(
                line, description=f"trial {number}", completed=at.step, total=at.steps, text=text
            )

        yield change, progress


def _score_name(found: Searched) -> str:
    return str(found.best.facts["score_name"]) if found.best is not None else "score"


def _write_page(found: Searched, page: Path, currency: str) -> None:
    from freehold.evaluate.search_page import render
    from freehold.store.files import write_text

    spent = sum((trial.cost for trial in found.trials), Decimal(0))
    facts = [
        f"{len(found.trials)} trials",
        f"{found.study.elapsed / 60:.1f} minutes",
        f"{spent:.4f} {currency} of machine",
    ]
    html = render(
        found.trials, found.space, title=found.study.name, facts=facts,
        score_name=_score_name(found),
    )  # fmt: skip
    write_text(page, html)


def _show(output: Output, found: Searched, page: Path, currency: str) -> None:
    from freehold.train.search.terminal import render

    best, version = found.best, found.version
    spent = sum((trial.cost for trial in found.trials), Decimal(0))
    output.document(
        {
            "study": found.study.name,
            "model": found.study.model,
            "version": None if version is None else version.version,
            "interrupted": found.interrupted,
            "best": None if best is None else best.document(),
            "score_name": _score_name(found),
            "trials": [trial.document() for trial in found.trials],
            "minutes": found.study.elapsed / 60,
            "cost": {"search": f"{spent:f}", "currency": currency},
            "report": str(page),
        }
    )
    output.show(render(found.trials, found.space, _score_name(found)))
    if found.interrupted:
        output.exit_code = 1
        take = (
            "" if best is None else f", or with --trials {len(found.trials)} take the best so far"
        )
        output.remark(
            f"Stopped; go on with `freehold search --resume --study {found.study.name}` and the "
            f"same budget{take}."
        )
    if version is not None and best is not None:
        first = next((trial for trial in found.trials if trial.state == "complete"), None)
        before = (
            ""
            if first is None or first.score is None
            else f" (trial {first.number}: {first.score:.4f})"
        )
        output.show(
            f"[bold]{version.name}[/bold]: trial {best.number}, dev {_score_name(found)} "
            f"{best.score:.4f}{before}; {len(found.trials)} trials in "
            f"{found.study.elapsed / 60:.1f} min cost {spent:.4f} {currency}."
        )
    output.show(f"The trials: {page}")
