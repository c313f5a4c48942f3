"""`freehold key`: more keys for a customer, a new one in place of an old one, taking one back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from datetime import datetime


@click.group("key")
def command() -> None:
    """Add, rotate, list and revoke API keys."""


@command.command("add")
@click.argument("customer")
@click.option(
    "--models", metavar="LIST", help="Only these, such as bank,news@3; default: all there will be."
)
@click.option("--expires", metavar="SPAN", help="It ends after this, such as 90d; default: never.")
@verb
def add(output: Output, customer: str, models: str | None, expires: str | None) -> None:
    """A further API key for CUSTOMER (name or id), shown this once."""
    from rich.panel import Panel

    from freehold.app import open_app
    from freehold.app.sell import add_key
    from freehold.clock import parse_span
    from freehold.serve.keys import parse_models

    scope = parse_models(models) if models is not None else ()
    span = parse_span(expires) if expires is not None else None
    with open_app(project_of(output)) as app:
        who, key_id, key = add_key(app, customer, models=scope, expires=span)
    output.document({"customer": who.document(), "id": key_id, "key": key})
    output.show(Panel(key, title=f"{who.name}'s new key, shown this once", expand=False))


@command.command("rotate")
@click.argument("key")
@click.option(
    "--overlap", default="24h", show_default=True, help="How long the old key works beside it."
)
@verb
def rotate(output: Output, key: str, overlap: str) -> None:
    """A new key in place of KEY (id or visible prefix), shown this once.

    It is for the same models, under the same limits, and lasts as long as KEY was made to last.
    """
    from rich.panel import Panel

    from freehold.app import open_app
    from freehold.clock import parse_span
    from freehold.serve.keys import rotate_key

    span = parse_span(overlap)
    with open_app(project_of(output)) as app:
        old, new, made = rotate_key(app.database, key, app.clock, overlap=span)
    output.document({"old": old.document(), "new": new.document(), "id": new.id, "key": made})
    output.show(Panel(made, title="The new key, shown this once", expand=False))
    output.show(f"{old.prefix}… works until {_minute(old.expires_at)} UTC.")


@command.command("list")
@click.option("--customer", help="Only this customer's (name or id).")
@verb
def list_(output: Output, customer: str | None) -> None:
    """Keys by their visible prefix: for which models, until when, rotated to which."""
    from rich.table import Column, Table

    from freehold.app import open_app
    from freehold.app.sell import keys_of

    with open_app(project_of(output)) as app:
        keys = keys_of(app, customer)
        now = app.clock.now()
    output.document(
        {
            "keys": [
                {**key.document(), "customer_name": name, "state": key.state(now)}
                for key, name in keys
            ]
        }
    )
    table = Table(
        Column("id", no_wrap=True), "key", "customer", "models", "made", "ends", "state", "next"
    )
    for key, name in keys:
        table.add_row(
            key.id,
            f"{key.prefix}…",
            name,
            ", ".join(key.models) or "all",
            _minute(key.created_at),
            _minute(key.expires_at),
            key.state(now),
            key.replaced_by or "",
        )
    output.show(table)


@command.command("revoke")
@click.argument("key")
@verb
def revoke(output: Output, key: str) -> None:
    """Take a key back, named by its id or visible prefix; servers refuse it within seconds."""
    from freehold.app import open_app
    from freehold.serve.keys import revoke_key

    with open_app(project_of(output)) as app:
        taken = revoke_key(app.database, key, app.clock)
    output.document(taken.document())
    output.show(f"{taken.prefix}… is revoked.")


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""
