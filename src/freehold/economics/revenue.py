"""What each customer's month earned: booked in the ledger, and rated but not invoiced yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.customers import Customer
from freehold.bill.invoices import entry_key, outstanding
from freehold.bill.ledger import REVENUE, reversal_key
from freehold.bill.periods import Period
from freehold.bill.usage import rated_usage
from freehold.errors import ConflictError, IntegrityError
from freehold.money import Money
from freehold.store import schema

__all__ = ["Unbilled", "booked_revenue", "unbilled_revenue"]


@dataclass(frozen=True, slots=True)
class Unbilled:
    """(customer id, YYYY-MM) -> net of the next invoice; and what kept some from having one."""

    amounts: Mapping[tuple[str, str], Decimal]
    troubles: tuple[str, ...]


def booked_revenue(connection: Connection, currency: str) -> dict[tuple[str, str], Decimal]:
    """(customer id, YYYY-MM) -> net revenue in the ledger, reversals subtracted, in major units.

    An invoice's revenue belongs to the month that it bills; any other booking to its own month.
    """
    invoices = schema.invoices
    of_key: dict[str, tuple[str, str]] = {}
    issued = sa.select(invoices.c.number, invoices.c.customer_id, invoices.c.period)
    for number, customer_id, period in connection.execute(issued):
        key = entry_key(number)
        of_key[key] = of_key[reversal_key(key)] = (customer_id, period)
    posting, entry = schema.postings.c, schema.entries.c
    rows = connection.execute(
        sa.select(entry.key, entry.at, posting.customer_id, posting.amount_minor)
        .select_from(schema.postings.join(schema.entries))
        .where(posting.account == REVENUE, posting.currency == currency)
    )
    minor: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        minor[of_key.get(row.key, (row.customer_id or "", row.at[:7]))] -= row.amount_minor
    return {place: Money(amount, currency).amount for place, amount in minor.items()}


def unbilled_revenue(
    connection: Connection,
    customers: Sequence[Customer],
    periods: Sequence[Period],
    currency: str,
    now: datetime,
) -> Unbilled:
    """What has been used or fallen due under the plans and is on no invoice yet."""
    amounts: dict[tuple[str, str], Decimal] = {}
    troubles: list[str] = []
    for period in periods:
        usage = rated_usage(connection, period=period)
        for customer in customers:
            try:
                owed = outstanding(connection, customer, period, now, usage)
            except (ConflictError, IntegrityError) as error:
                troubles.append(error.message)
                continue
            if owed is not None and owed.currency == currency:
                amounts[customer.id, period.name] = Money(owed.net_minor, currency).amount
    return Unbilled(amounts, tuple(troubles))
