"""`freehold customer`: who pays, and on which plan."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb
from freehold.errors import InputError

if TYPE_CHECKING:
    from freehold.bill.customers import Customer


@click.group("customer")
def command() -> None:
    """Add and list customers."""


@command.command("add")
@click.argument("name")
@click.option(
    "--plan", required=True, help="A plan of freehold.toml; its terms are kept as they are."
)
@click.option(
    "--starts", metavar="DATE", help="First day of the subscription, in UTC; default: now."
)
@verb
def add(output: Output, name: str, plan: str, starts: str | None) -> None:
    """A customer who subscribes to a plan, with a first API key, shown this once."""
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.text import Text

    from freehold.app import open_app
    from freehold.app.sell import add_customer

    first = _day(starts) if starts else None
    with open_app(project_of(output)) as app:
        customer, key = add_customer(app, name, plan, starts=first)
    output.document({"customer": customer.document(), "key": key})
    output.show(Text(f"{customer.name} is a customer on plan {customer.plan} ({customer.id})."))
    box = Panel(Padding(Text(key, style="bold"), (1, 2)), title="API key", expand=False)
    output.show(box, "Keep it now: it is stored nowhere and cannot be shown again.")


@command.command("list")
@verb
def list_(output: Output) -> None:
    """Customers with their plans."""
    from rich.table import Table
    from rich.text import Text

    from freehold.app import open_app
    from freehold.bill.customers import list_customers

    with open_app(project_of(output)) as app:
        customers = list_customers(app.database)
    output.document({"customers": [customer.document() for customer in customers]})
    if not customers:
        output.show(
            'There is no customer yet: `freehold customer add "North Bank" --plan starter`.'
        )
        return
    table = Table("name", "plan", "since", "currency", "id")
    for customer in customers:
        since, currency = _since(customer)
        table.add_row(Text(customer.name), Text(customer.plan), since, currency, customer.id)
    output.show(table)


def _since(customer: Customer) -> tuple[str, str]:
    if not customer.subscriptions:
        return "", ""
    last = customer.subscriptions[-1]
    return f"{last.starts_at:%Y-%m-%d}", last.currency


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(
            f"{text!r} is not a date.", hint="Write year, month and day, as in 2026-11-01."
        ) from error
