"""`freehold card`: a version's model card, to read, to keep beside the model, or to publish."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from freehold.cli.common import Output, project_of, verb


@click.command("card")
@click.argument("model", required=False)
@click.option("--output", "file", type=click.Path(path_type=Path), help="Write it as Markdown.")
@verb
def command(output: Output, model: str | None, file: Path | None) -> None:
    """The card of MODEL (bank: its live version, else its newest; or bank@2): on a terminal to be
    read, as Markdown where it is piped or goes into a file."""
    from freehold.app import open_app
    from freehold.app.card import card_of
    from freehold.app.markdown import without_front_matter
    from freehold.store.files import write_text

    with open_app(project_of(output)) as app:
        version = app.registry.get(model or app.project.model)
        card = card_of(app, version)
    if not card.stored:
        output.remark(f"{version.name} was made without a card; this one is composed now.")
    output.document(card.document())
    if file is not None:
        write_text(file, card.markdown)
        output.show(f"The card: {file}")
    elif output.console.is_terminal:
        from rich.markdown import Markdown

        output.show(Markdown(without_front_matter(card.markdown), hyperlinks=False))
    elif not output.json:
        sys.stdout.write(card.markdown)
