"""`freehold models`: the versions of every model, their stages, scores and costs."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb

PRETRAINED = {"perplexity", "retrieval_accuracy"}  # what a version without a task is chosen by


@click.command("models")
@verb
def command(output: Output) -> None:
    """List versions with stage, dev score, training time and cost."""
    from rich.table import Column, Table

    from freehold.app import open_app
    from freehold.tasks.registry import kinds, task_of

    scores = PRETRAINED | {task_of(kind).score_name for kind in kinds()}
    with open_app(project_of(output)) as app:
        versions = app.registry.all()
        tried = {trial.name: trial for trial in app.registry.stages.trials()}
    output.document({"versions": [version.document() for version in versions]})
    if not versions:
        output.show("No versions yet: run `freehold train`.")
        return
    table = Table(
        Column("version", no_wrap=True), "task", "stage", "dev score", "trained", "cost", "from"
    )
    for version in versions:
        score = next((f"{k} {v:.4f}" for k, v in version.metrics.items() if k in scores), "")
        cost = version.train_cost + version.label_cost
        stage = "[bold green]live[/]" if version.stage == "live" else version.stage
        if version.stage == "canary" and version.name in tried:
            stage = f"canary, {tried[version.name].terms.sentence()}"
        base = str(version.lineage.get("base", ""))
        seconds = f"{version.train_seconds:.0f} s"
        money = f"{cost:.2f} {version.currency}"
        table.add_row(version.name, version.task, stage, score, seconds, money, base)
    output.show(table)
