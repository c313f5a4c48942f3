"""Prepaid wallets: units that were paid for before use; top-ups are added once, never changed.

The units are what the plan counts (inputs or tokens), so that "is there enough" needs no price.
What was paid for them is booked as deferred revenue; an invoice covers their use at no further
charge.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill import ledger
from freehold.bill.customers import Customer, find_in
from freehold.bill.ledger import CASH, DEFERRED_REVENUE, Posting
from freehold.clock import Clock, format_time
from freehold.errors import ConflictError, InputError
from freehold.meter.allowances import WALLET, wallet_id
from freehold.money import Money, round_money
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["TopUp", "Wallet", "top_up", "topup_key", "wallet_of"]

_MOST = 10**15


@dataclass(frozen=True, slots=True)
class TopUp:
    key: str
    units: int
    unit: str
    paid: Money
    at: str

    def document(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "units": self.units,
            "unit": self.unit,
            "paid": str(self.paid.amount),
            "currency": self.paid.currency,
            "at": self.at,
        }


@dataclass(frozen=True, slots=True)
class Wallet:
    """granted = used + held + left, none of them ever negative."""

    customer: Customer
    unit: str
    granted: int
    used: int
    held: int
    topups: tuple[TopUp, ...]

    @property
    def left(self) -> int:
        return self.granted - self.used - self.held

    def document(self) -> dict[str, Any]:
        return {
            "customer": self.customer.document(),
            "unit": self.unit,
            "granted": self.granted,
            "used": self.used,
            "held": self.held,
            "left": self.left,
            "topups": [topup.document() for topup in self.topups],
        }


def top_up(
    database: Database,
    customer: str,
    units: int,
    clock: Clock,
    *,
    paid: Decimal = Decimal(0),
    key: str | None = None,
) -> tuple[Wallet, TopUp]:
    """Add units to a customer's wallet (id or name), for what was paid in major units.

    The same `key` again adds nothing; without one a new one is made. Raises NotFoundError,
    InputError for a customer on a plan that is not prepaid and for amounts that cannot be meant,
    ConflictError for a key under which something else was added.
    """
    if not 1 <= units <= _MOST:
        raise InputError(f"{units} units cannot be added.", hint=f"Add 1 to {_MOST:,}.")
    key = key if key is not None else f"top_{secrets.token_hex(10)}"
    if not key or len(key) > 255:
        raise InputError("The key is not 1 to 255 characters long.", hint="Choose another.")
    now = clock.now()
    with database.write() as connection:
        who = find_in(connection, customer)
        unit, currency = _terms_of(who)
        money = _exact(paid, currency)
        added = connection.execute(
            database.insert_new(schema.topups),
            {
                "customer_id": who.id,
                "key": key,
                "unit": unit,
                "units": units,
                "paid_minor": money.minor,
                "currency": currency,
                "at": format_time(now),
            },
        )
        if added.rowcount == 1:
            _grant(database, connection, who.id, unit, units)
            if money.minor:
                _book(connection, who, clock, key, units if unit == "inputs" else 0, money)
        wallet = _wallet(connection, who, unit)
    topup = next(one for one in wallet.topups if one.key == key)
    if (topup.units, topup.paid) != (units, money):
        raise ConflictError(
            f"Under the key {key!r} {topup.units:,} {topup.unit} were added for {topup.paid}.",
            hint="Choose a new key for a new top-up.",
        )
    return wallet, topup


def wallet_of(database: Database, customer: str) -> Wallet:
    """A customer's wallet (id or name). Raises NotFoundError, InputError where there is none."""
    with database.read() as connection:
        who = find_in(connection, customer)
        return _wallet(connection, who, _terms_of(who)[0])


def topup_key(customer_id: str, key: str) -> str:
    """The ledger key of a top-up's booking."""
    return f"topup:{customer_id}:{key}"


def _terms_of(customer: Customer) -> tuple[str, str]:
    """The unit and the currency of a customer's prepaid plan."""
    taken = customer.subscriptions[-1] if customer.subscriptions else None
    if taken is None or not taken.terms.prepaid:
        raise InputError(
            f"{customer.name} has no wallet: plan {customer.plan or 'none'!r} is not prepaid.",
            hint="Only a plan with prepaid = true draws on a wallet.",
        )
    return taken.terms.unit, taken.currency


def _exact(paid: Decimal, currency: str) -> Money:
    money = round_money(paid, currency)
    if money.amount != paid or money.minor < 0:
        raise InputError(
            f"{paid} is not an amount of {currency}.",
            hint="Write what was paid, with no more decimals than the currency has.",
        )
    return money


def _grant(
    database: Database, connection: Connection, customer_id: str, unit: str, units: int
) -> None:
    table = schema.allowances
    row = wallet_id(customer_id, unit)
    name = {"id": row, "customer_id": customer_id, "kind": WALLET, "unit": unit, "period": ""}
    zeros = dict.fromkeys(("granted", "used", "held", "full_at"), 0)
    connection.execute(database.insert_new(table), {**name, **zeros})
    connection.execute(
        table.update().where(table.c.id == row).values(granted=table.c.granted + units)
    )


def _book(
    connection: Connection, customer: Customer, clock: Clock, key: str, units: int, paid: Money
) -> None:
    ledger.post(
        connection,
        topup_key(customer.id, key),
        clock.now(),
        f"Top-up {key} of {customer.name}",
        [
            Posting(CASH, paid.minor, paid.currency, customer.id),
            Posting(DEFERRED_REVENUE, -paid.minor, paid.currency, customer.id, units),
        ],
    )


def _wallet(connection: Connection, customer: Customer, unit: str) -> Wallet:
    table, topups = schema.allowances, schema.topups
    row = connection.execute(
        sa.select(table).where(table.c.id == wallet_id(customer.id, unit))
    ).one_or_none()
    rows = connection.execute(
        sa.select(topups)
        .where(topups.c.customer_id == customer.id, topups.c.unit == unit)
        .order_by(topups.c.id)
    )
    return Wallet(
        customer,
        unit,
        row.granted if row else 0,
        row.used if row else 0,
        row.held if row else 0,
        tuple(
            TopUp(one.key, one.units, one.unit, Money(one.paid_minor, one.currency), one.at)
            for one in rows
        ),
    )
