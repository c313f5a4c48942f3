"""Everything that reconciliation compares, read in one consistent view of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.check_allowances import Allowances, read_allowances
from freehold.bill.customers import Subscription, subscriptions
from freehold.bill.invoices import Invoice, all_invoices
from freehold.bill.usage import Usage, metered_usage, rated_usage
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["Booked", "Books", "Work", "read_books"]


@dataclass(frozen=True, slots=True)
class Work:
    """What one version did, as the server counted it or as the meter recorded it."""

    requests: int = 0
    inputs: int = 0
    tokens: int = 0
    compute_us: int = 0
    cached_inputs: int = 0
    cached_tokens: int = 0


@dataclass(slots=True)
class Booked:
    """The sums of one entry, a reversal of it included."""

    minor: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    units: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # account ->
    customers: set[str | None] = field(default_factory=set)

    def of(self, account: str, currency: str) -> int:
        """Minor units, debit positive."""
        return self.minor.get((account, currency), 0)


@dataclass(frozen=True, slots=True)
class Books:
    served: Mapping[str, Work]  # model@version ->
    worked: Mapping[str, Work]  # model@version ->, from the usage events
    metered: Mapping[tuple[str, str], Usage]  # (customer id, month) ->
    rated: Mapping[tuple[str, str], Usage]  # (subscription id, month) ->
    subscriptions: Mapping[str, Subscription]
    names: Mapping[str, str]  # customer id -> name
    invoices: tuple[Invoice, ...]  # in the order of their issue
    booked: Mapping[str, Booked]  # entry key ->
    unbalanced: Mapping[tuple[str, str], int]  # (entry key, currency) -> what is left over
    allowances: Allowances


def read_books(database: Database) -> Books:
    with database.read() as connection:
        customers = schema.customers
        names = connection.execute(sa.select(customers.c.id, customers.c.name))
        booked, unbalanced = _ledger(connection)
        return Books(
            served=_work(connection, schema.served, sa.func.sum(schema.served.c.requests)),
            worked=_work(connection, schema.usage_events, sa.func.count()),
            metered=metered_usage(connection),
            rated=rated_usage(connection),
            subscriptions={taken.id: taken for taken in subscriptions(connection)},
            names={row.id: row.name for row in names},
            invoices=tuple(all_invoices(connection)),
            booked=booked,
            unbalanced=unbalanced,
            allowances=read_allowances(connection),
        )


def _work(connection: Connection, table: sa.Table, requests: Any) -> dict[str, Work]:
    columns = table.c
    rows = connection.execute(
        sa.select(
            columns.model,
            columns.version,
            requests.label("requests"),
            sa.func.sum(columns.inputs).label("inputs"),
            sa.func.sum(columns.tokens).label("tokens"),
            sa.func.sum(columns.compute_us).label("compute_us"),
            sa.func.sum(columns.cached_inputs).label("cached_inputs"),
            sa.func.sum(columns.cached_tokens).label("cached_tokens"),
        ).group_by(columns.model, columns.version)
    )
    return {
        f"{row.model}@{row.version}": Work(
            int(row.requests),
            int(row.inputs),
            int(row.tokens),
            int(row.compute_us),
            int(row.cached_inputs),
            int(row.cached_tokens),
        )
        for row in rows
    }


def _ledger(connection: Connection) -> tuple[dict[str, Booked], dict[tuple[str, str], int]]:
    """Each entry's sums, reversals under what they reverse; and what does not balance."""
    entry, posting = schema.entries.c, schema.postings.c
    rows = connection.execute(
        sa.select(
            entry.key,
            posting.account,
            posting.currency,
            posting.customer_id,
            sa.func.sum(posting.amount_minor).label("minor"),
            sa.func.sum(posting.units).label("units"),
        )
        .select_from(schema.postings.join(schema.entries))
        .group_by(entry.key, posting.account, posting.currency, posting.customer_id)
    )
    booked: dict[str, Booked] = defaultdict(Booked)
    left: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        left[row.key, row.currency] += int(row.minor)
        sums = booked[row.key.removeprefix("reversal:")]
        sums.minor[row.account, row.currency] += int(row.minor)
        sums.units[row.account] += int(row.units)
        sums.customers.add(row.customer_id)
    return dict(booked), {key: minor for key, minor in left.items() if minor}
