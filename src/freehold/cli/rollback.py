"""`freehold rollback`: take a canary back, or go back to the version that was live before."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb


@click.command("rollback")
@click.argument("model", required=False)
@click.option("--reason", help="Why, for the record.")
@verb
def command(output: Output, model: str | None, reason: str | None) -> None:
    """Take MODEL's canary back; without one, make the version live that was live before."""
    from freehold.app import open_app

    project = project_of(output)
    with open_app(project) as app:
        name = model or project.model
        before = {trial.version for trial in app.registry.stages.trials(name)}
        version = app.registry.rollback(name, reason)
        after = {trial.version for trial in app.registry.stages.trials(name)}
        (last, *_) = app.registry.stages.changes(name, limit=1)
    output.document({"model": version.model, "version": version.version, "stage": version.stage})
    if last.to_stage == "retired" and before - after:
        output.show(f"{last.model}@{last.version} is taken back; {version.name} answers all.")
    else:
        output.show(f"{version.name} is live again; running servers take it within seconds.")
