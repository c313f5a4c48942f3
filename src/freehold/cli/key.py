"""`freehold key`: more keys for a customer, and taking one back."""

from __future__ import annotations

import click

from freehold.cli.common import Output, project_of, verb


@click.group("key")
def command() -> None:
    """Add, list and revoke API keys."""


@command.command("add")
@click.argument("customer")
@verb
def add(output: Output, customer: str) -> None:
    """A further API key for CUSTOMER (name or id), shown this once."""
    from rich.panel import Panel

    from freehold.app import open_app
    from freehold.app.sell import add_key

    with open_app(project_of(output)) as app:
        who, key_id, key = add_key(app, customer)
    output.document({"customer": who.document(), "id": key_id, "key": key})
    output.show(Panel(key, title=f"{who.name}'s new key, shown this once", expand=False))


@command.command("list")
@click.option("--customer", help="Only this customer's (name or id).")
@verb
def list_(output: Output, customer: str | None) -> None:
    """Keys by their visible prefix, with whether they are revoked."""
    from rich.table import Column, Table

    from freehold.app import open_app
    from freehold.app.sell import keys_of

    with open_app(project_of(output)) as app:
        keys = keys_of(app, customer)
    output.document({"keys": [{**key.document(), "customer_name": name} for key, name in keys]})
    table = Table(Column("id", no_wrap=True), "key", "customer", "made", "revoked")
    for key, name in keys:
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        table.add_row(key.id, f"{key.prefix}…", name, f"{key.created_at:%Y-%m-%d %H:%M}", revoked)
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
