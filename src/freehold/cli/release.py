"""`freehold release`: how shadows and canaries go, ending them, keeping versions loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from rich.console import RenderableType

    from freehold.app.release import Progress
    from freehold.registry.rule import Figures
    from freehold.registry.stages import Change


@click.group("release")
def command() -> None:
    """See how shadows and canaries go, end them, keep versions loaded."""


@command.command("status")
@click.argument("model", required=False)
@verb
def status(output: Output, model: str | None) -> None:
    """What is tried and kept beside the live version of MODEL (all models), and the decisions."""
    from freehold.app import open_app
    from freehold.app.release import progress

    with open_app(project_of(output)) as app:
        if model is not None:
            model = app.registry.get(model).model
        live = [version.name for version in app.registry.live() if model in (None, version.model)]
        found, changes = progress(app, model)
    output.document(
        {
            "live": live,
            "releases": [one.document() for one in found],
            "decisions": [change.document() for change in changes],
        }
    )
    output.show(f"Live: {', '.join(live) or 'none'}.")
    for one in found:
        output.show(*_progress(one))
    if changes:
        output.show(_decisions(changes))


@command.command("stop")
@click.argument("version")
@click.option("--reason", help="Why, for the record.")
@verb
def stop(output: Output, version: str, reason: str | None) -> None:
    """End the shadow or canary VERSION (bank@3); what is live stays."""
    from freehold.app import open_app

    with open_app(project_of(output)) as app:
        stages = app.registry.stages
        (trial, *_) = stages.stop(app.registry.get(version), ("shadow", "canary"), reason)
        after = app.registry.get(trial.name)
    output.document({"model": after.model, "version": after.version, "stage": after.stage})
    output.show(f"{trial.name} is no {trial.kind} any more.")


@command.command("load")
@click.argument("version")
@click.option("--reason", help="Why, for the record.")
@verb
def load(output: Output, version: str, reason: str | None) -> None:
    """Keep VERSION (bank@1) loaded, whatever its stage: who asks for bank@1 is answered by it."""
    from freehold.app import open_app

    with open_app(project_of(output)) as app:
        trial = app.registry.stages.keep(app.registry.exported(version), reason)
    output.document({"model": trial.model, "version": trial.version, "loaded": True})
    output.show(f"{trial.name} is kept loaded; servers have it within seconds.")


@command.command("unload")
@click.argument("version")
@click.option("--reason", help="Why, for the record.")
@verb
def unload(output: Output, version: str, reason: str | None) -> None:
    """Let VERSION go, unless it is live or tried; what it has begun is answered."""
    from freehold.app import open_app

    with open_app(project_of(output)) as app:
        (trial, *_) = app.registry.stages.stop(app.registry.get(version), ("kept",), reason)
    output.document({"model": trial.model, "version": trial.version, "loaded": False})
    output.show(f"{trial.name} is not kept any more.")


def _progress(one: Progress) -> list[RenderableType]:
    from rich.table import Column, Table

    trial = one.trial
    if trial.kind == "kept":
        return [f"{trial.name} is kept loaded since {_at(trial.started_at)}."]
    head = f"\n{trial.name}: {trial.kind}"
    if trial.kind == "shadow":
        return [f"{head} of {trial.model}@{trial.against} since {_at(trial.started_at)}.", _of(one)]
    share = trial.terms.rule.latency_quantile
    table = Table(
        "", *(Column(name, justify="right") for name in ("answers", "errors", "", "p50", "slow"))
    )
    table.columns[-1].header = f"p{share * 100:g}"
    for name, figures in ((trial.name, one.canary), (f"{trial.model}@{trial.against}", one.live)):
        if figures is not None:
            table.add_row(name, *_row(figures, share))
    return [f"{head}, {trial.terms.sentence()}, since {_at(trial.started_at)}.", table]


def _of(one: Progress) -> str:
    agreed = one.agreement()
    runs = sum(day.runs for day in one.days)
    failed = sum(day.failed for day in one.days)
    if agreed is None:
        return f"{runs:,} requests were run again, {failed:,} failed; nothing is compared yet."
    compared, share, low, high = agreed
    return (
        f"{share:.2%} of {compared:,} answers agree ({low:.2%} to {high:.2%}); {failed:,} of "
        f"{runs + failed:,} runs failed; {one.per_input('compute_us') or 0:.2f} ms an input alone, "
        f"{one.per_input('live_compute_us') or 0:.2f} ms in the live version's batches."
    )


def _row(figures: Figures, share: float) -> tuple[str, ...]:
    middle, slow = figures.latencies.quantile(0.5), figures.latencies.quantile(share)
    return (
        f"{figures.answers:,}",
        f"{figures.errors:,}",
        f"{figures.error_rate:.2%}",
        f"{middle * 1e3:.3g} ms",
        f"{slow * 1e3:.3g} ms",
    )


def _decisions(changes: list[Change]) -> RenderableType:
    from rich.table import Column, Table

    table = Table("when", Column("version", no_wrap=True), "decision", "to", "why")
    for change in changes:
        name = f"{change.model}@{change.version}"
        table.add_row(_at(change.at), name, change.reason, change.to_stage, change.detail or "")
    return table


def _at(time: str) -> str:
    return time[:16].replace("T", " ")
