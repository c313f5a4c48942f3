"""`freehold rollback`: go back to the version that was live before."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb


@click.command("rollback")
@click.argument("model", required=False)
@verb
def command(output: Output, model: str | None) -> None:
    """Make the version live again that was live before the present one."""
    from freehold.app import open_app

    project = project_of(output)
    with open_app(project) as app:
        version = app.registry.rollback(model or project.model)
    output.document({"model": version.model, "version": version.version, "stage": version.stage})
    output.show(f"{version.name} is live again; a running server takes it at its next start.")
