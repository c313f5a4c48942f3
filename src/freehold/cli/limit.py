"""`freehold limit`: rate limits and quotas, in place of the plan's or for one key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from freehold.bill.limits import Standing


@click.group("limit")
def command() -> None:
    """Set, clear and show rate limits and quotas."""


_KEY = click.option(
    "--key", help="Of this key (id or visible prefix) and those it is rotated to, besides."
)
_SIZE = click.IntRange(min=0)


def _named(kind: click.IntRange | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of the three limits: with a size, or as flags."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for name, text in (
            ("--quota", "Units in a calendar month (UTC), as the plan counts them."),
            ("--tokens-per-minute", "Tokens in a minute."),
            ("--requests-per-minute", "Requests in a minute."),
        ):
            option = (
                click.option(name, type=kind, help=f"{text} 0: any number.")
                if kind
                else click.option(name, is_flag=True, help=text)
            )
            function = option(function)
        return function

    return add


@command.command("set")
@click.argument("customer")
@_named(_SIZE)
@_KEY
@verb
def set_(output: Output, customer: str, key: str | None, **sizes: int | None) -> None:
    """Set limits of CUSTOMER (name or id) in place of its plan's; servers follow within seconds.

    With --key they bound that key within what its customer may use.
    """
    from freehold.app import open_app
    from freehold.app.limits import change_limits

    given = {name: size for name, size in sizes.items() if size is not None}
    with open_app(project_of(output)) as app:
        _show(output, change_limits(app, customer, given, key=key))


@command.command("clear")
@click.argument("customer")
@_named(None)
@_KEY
@verb
def clear(output: Output, customer: str, key: str | None, **named: bool) -> None:
    """Take back limits that were set: all of them, or those that are named."""
    from freehold.app import open_app
    from freehold.app.limits import change_limits

    chosen = [name for name, is_named in named.items() if is_named] or list(named)
    with open_app(project_of(output)) as app:
        _show(output, change_limits(app, customer, dict.fromkeys(chosen), key=key))


@command.command("show")
@click.argument("customer")
@_KEY
@verb
def show(output: Output, customer: str, key: str | None) -> None:
    """What bounds CUSTOMER (name or id), and how much of it is used."""
    from freehold.app import open_app
    from freehold.app.limits import limits_of

    with open_app(project_of(output)) as app:
        _show(output, limits_of(app, customer, key=key))


def _show(output: Output, standings: list[Standing]) -> None:
    from rich.table import Table

    output.document({"limits": [standing.document() for standing in standings]})
    if not standings:
        output.show("Nothing bounds this customer.")
        return
    table = Table("limit", "from", "size", "used", "held", "left", "month")
    for standing in standings:
        found = standing.document()
        bucket = found["left"] is None
        table.add_row(
            f"{standing.name} ({standing.unit})",
            standing.source,
            f"{standing.size:,}",
            "" if bucket else f"{standing.used:,}",
            f"{standing.held:,}",
            "" if bucket else f"{found['left']:,}",
            standing.period,
        )
    output.show(table)
