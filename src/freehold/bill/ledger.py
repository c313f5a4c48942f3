"""The ledger: double entry, booked once by key, summing to zero; nothing is changed, only reversed.

Debits are positive and credits negative, in minor units. `units` on a posting are the inputs that
its amount pays for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError as UniqueViolation

from freehold.clock import format_time
from freehold.errors import ConflictError, InputError, NotFoundError
from freehold.store import schema

__all__ = [
    "CASH",
    "DEFERRED_REVENUE",
    "RECEIVABLE",
    "REVENUE",
    "TAX_PAYABLE",
    "AccountBalance",
    "Entry",
    "Posting",
    "find_entry",
    "post",
    "reversal_key",
    "reverse",
    "trial_balance",
]

RECEIVABLE = "receivable"
REVENUE = "revenue"
TAX_PAYABLE = "tax_payable"
CASH = "cash"
DEFERRED_REVENUE = "deferred_revenue"


@dataclass(frozen=True, slots=True)
class Posting:
    account: str
    amount_minor: int  # debit positive, credit negative
    currency: str
    customer_id: str | None = None
    units: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One booking: its postings sum to zero in each currency."""

    id: int
    key: str
    at: str
    description: str
    postings: tuple[Posting, ...]


@dataclass(frozen=True, slots=True)
class AccountBalance:
    """An account in one currency: sums of its debits and of its credits, both not negative."""

    account: str
    currency: str
    debit_minor: int
    credit_minor: int

    @property
    def balance_minor(self) -> int:
        return self.debit_minor - self.credit_minor


def post(
    connection: Connection, key: str, at: datetime, description: str, postings: Sequence[Posting]
) -> Entry:
    """Book an entry; the same key again books nothing and returns what was booked.

    Raises InputError for postings that do not sum to zero, ConflictError for a key under which
    something else is booked.
    """
    _refuse_unbalanced(key, postings)
    try:
        # A savepoint, so that losing a race for the key leaves the transaction usable.
        with connection.begin_nested():
            entry_id: int = connection.execute(
                schema.entries.insert().returning(schema.entries.c.id),
                {"key": key, "at": format_time(at), "description": description},
            ).scalar_one()
            connection.execute(
                schema.postings.insert(),
                [
                    {
                        "entry_id": entry_id,
                        "account": posting.account,
                        "customer_id": posting.customer_id,
                        "amount_minor": posting.amount_minor,
                        "currency": posting.currency,
                        "units": posting.units,
                    }
                    for posting in postings
                ],
            )
    except UniqueViolation:
        booked = find_entry(connection, key)
        if booked.postings != tuple(postings):
            raise ConflictError(
                f"{key} is already booked with other postings.",
                hint="Nothing is ever changed in the ledger: reverse the entry and book anew.",
            ) from None
        return booked
    return Entry(entry_id, key, format_time(at), description, tuple(postings))


def find_entry(connection: Connection, key: str) -> Entry:
    """The entry booked under a key. Raises NotFoundError."""
    row = connection.execute(sa.select(schema.entries).where(schema.entries.c.key == key)).first()
    if row is None:
        raise NotFoundError(f"Nothing is booked under {key!r}.")
    table = schema.postings
    found = connection.execute(
        sa.select(table).where(table.c.entry_id == row.id).order_by(table.c.id)
    )
    postings = tuple(
        Posting(p.account, p.amount_minor, p.currency, p.customer_id, p.units) for p in found
    )
    return Entry(row.id, row.key, row.at, row.description, postings)


def reversal_key(key: str) -> str:
    return f"reversal:{key}"


def reverse(connection: Connection, key: str, at: datetime, reason: str) -> Entry:
    """Book the opposite of an entry, once. Raises NotFoundError for a key that is not booked."""
    booked = find_entry(connection, key)
    opposite = [
        replace(posting, amount_minor=-posting.amount_minor, units=-posting.units)
        for posting in booked.postings
    ]
    return post(connection, reversal_key(key), at, f"{reason} ({booked.description})", opposite)


def trial_balance(connection: Connection) -> list[AccountBalance]:
    """Every account's debits and credits by currency; their balances sum to zero in each."""
    table = schema.postings
    debit = sa.func.sum(sa.case((table.c.amount_minor > 0, table.c.amount_minor), else_=0))
    credit = sa.func.sum(sa.case((table.c.amount_minor < 0, -table.c.amount_minor), else_=0))
    rows = connection.execute(
        sa.select(
            table.c.account, table.c.currency, debit.label("debit"), credit.label("credit")
        ).group_by(table.c.account, table.c.currency)
    )
    balances = [AccountBalance(r.account, r.currency, int(r.debit), int(r.credit)) for r in rows]
    return sorted(balances, key=lambda balance: (balance.currency, balance.account))


def _refuse_unbalanced(key: str, postings: Sequence[Posting]) -> None:
    sums: dict[str, int] = defaultdict(int)
    for posting in postings:
        sums[posting.currency] += posting.amount_minor
    if not postings:
        raise InputError(f"{key} has no postings.", hint="Book at least a debit and a credit.")
    for currency, left in sums.items():
        if left:
            raise InputError(
                f"The postings of {key} sum to {left} minor units of {currency}, not to zero.",
                hint="Debits are positive and credits negative; add the missing side.",
            )
