"""`freehold promote`: make a version the one that customers get."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb


@click.command("promote")
@click.argument("model")
@verb
def command(output: Output, model: str) -> None:
    """Make MODEL (bank@2; without a number its newest version) live; the former one retires."""
    from freehold.app import open_app

    with open_app(project_of(output)) as app:
        version = app.registry.promote(model)
    output.document({"model": version.model, "version": version.version, "stage": version.stage})
    output.show(f"{version.name} is live; a running server takes it at its next start.")
