"""`freehold new`: a project folder to start from."""

from __future__ import annotations

from pathlib import Path

import click

from freehold.cli.common import Output, verb


@click.command("new")
@click.argument("name")
@click.option(
    "--template",
    type=click.Choice(["classification", "tagging"]),
    default="classification",
    show_default=True,
    help="Labels for whole texts, or tags for words.",
)
@click.option(
    "--dir",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="this folder",
    help="Where to make the project's folder.",
)
@verb
def command(output: Output, name: str, template: str, parent: Path) -> None:
    """Make a project folder NAME with freehold.toml and hand-written sample data."""
    from freehold.scaffold import new_project

    project = new_project(name, parent, template)
    output.document({"project": name, "folder": str(project.folder), "files": list(project.files)})
    output.show(f"Made {project.folder} with {', '.join(project.files)}.")
    output.show("The data is a hand-written sample: put your own in its place.\n")
    output.show(f"Next: cd {project.folder} && freehold data check && freehold train")
