"""`freehold wallet`: units that customers pay for before they use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from freehold.bill.wallets import Wallet


@click.group("wallet")
def command() -> None:
    """Top up and show prepaid units."""


@command.command("topup")
@click.argument("customer")
@click.argument("units", type=click.IntRange(min=1))
@click.option("--paid", default="0", help="What was paid for them, in the plan's currency.")
@click.option(
    "--key", help="Names this top-up: the same key again adds nothing. Default: a new one."
)
@verb
def topup(output: Output, customer: str, units: int, paid: str, key: str | None) -> None:
    """Add UNITS to the wallet of CUSTOMER (name or id); servers deal them within seconds."""
    from freehold.app import open_app
    from freehold.bill.wallets import top_up
    from freehold.money import parse_rate

    amount = parse_rate(paid, what="--paid")
    with open_app(project_of(output)) as app:
        wallet, added = top_up(app.database, customer, units, app.clock, paid=amount, key=key)
    output.document({**wallet.document(), "topup": added.document()})
    output.show(f"{added.units:,} {added.unit} for {added.paid}, under the key {added.key}.")
    output.show(_line(wallet))


@command.command("show")
@click.argument("customer")
@verb
def show(output: Output, customer: str) -> None:
    """What the wallet of CUSTOMER (name or id) holds, and how it was topped up."""
    from rich.table import Table
    from rich.text import Text

    from freehold.app import open_app
    from freehold.bill.wallets import wallet_of

    with open_app(project_of(output)) as app:
        wallet = wallet_of(app.database, customer)
    output.document(wallet.document())
    output.show(_line(wallet))
    if wallet.topups:
        table = Table("at", "units", "paid", "key")
        for added in wallet.topups:
            table.add_row(added.at[:16], f"{added.units:,}", str(added.paid), Text(added.key))
        output.show(table)


def _line(wallet: Wallet) -> str:
    return (
        f"{wallet.customer.name}: {wallet.left:,} {wallet.unit} left; {wallet.granted:,} paid for, "
        f"{wallet.used:,} used, {wallet.held:,} held."
    )
