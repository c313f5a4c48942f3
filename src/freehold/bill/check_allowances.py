"""Reconciliation of what may be used: top-ups = granted, prepaid use = used, holds = held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.customers import Subscription
from freehold.bill.discrepancy import Discrepancy, minor_of
from freehold.bill.ledger import CASH, DEFERRED_REVENUE
from freehold.bill.usage import Usage
from freehold.bill.wallets import topup_key
from freehold.meter.allowances import QUOTA, WALLET, wallet_id
from freehold.store import schema

__all__ = ["Allowances", "check_allowances", "check_topups", "read_allowances"]


@dataclass(frozen=True, slots=True)
class AllowanceRow:
    id: str
    customer_id: str
    kind: str
    unit: str
    period: str
    granted: int
    used: int
    held: int


@dataclass(frozen=True, slots=True)
class TopUpRow:
    customer_id: str
    key: str
    unit: str
    units: int
    paid_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Allowances:
    rows: tuple[AllowanceRow, ...]
    held: Mapping[str, int]  # allowance -> what servers hold of it
    topups: tuple[TopUpRow, ...]


def read_allowances(connection: Connection) -> Allowances:
    rows, holds, topups = schema.allowances, schema.holds, schema.topups
    wanted = [rows.c[name] for name in AllowanceRow.__dataclass_fields__]
    sums = sa.select(holds.c.allowance, sa.func.sum(holds.c.units).label("units"))
    columns = [topups.c[name] for name in TopUpRow.__dataclass_fields__]
    return Allowances(
        tuple(
            AllowanceRow(**row._mapping)
            for row in connection.execute(sa.select(*wanted).order_by(rows.c.id))
        ),
        {
            row.allowance: int(row.units)
            for row in connection.execute(sums.group_by(holds.c.allowance))
        },
        tuple(
            TopUpRow(**row._mapping)
            for row in connection.execute(sa.select(*columns).order_by(topups.c.id))
        ),
    )


def check_allowances(
    found: Allowances,
    subscriptions: Mapping[str, Subscription],
    rated: Mapping[tuple[str, str], Usage],
    metered: Mapping[tuple[str, str], Usage],
) -> Iterator[Discrepancy]:
    """Every wallet holds what was topped up, less the use of prepaid subscriptions; no quota has
    used more than was metered; what is held of a row is what servers hold of it."""
    granted: dict[str, int] = defaultdict(int)
    for topup in found.topups:
        granted[wallet_id(topup.customer_id, topup.unit)] += topup.units
    prepaid: dict[str, int] = defaultdict(int)
    for (name, _), usage in rated.items():
        taken = subscriptions[name]
        if taken.terms.prepaid:
            prepaid[wallet_id(taken.customer_id, taken.terms.unit)] += usage.of(taken.terms.unit)
    rows = {row.id: row for row in found.rows}
    for name in sorted(rows.keys() | granted.keys() | prepaid.keys()):
        row = rows.get(name)
        used, has, held = (row.used, row.granted, row.held) if row else (0, 0, 0)
        if row is None or row.kind == WALLET:
            unit = name.rpartition(":")[2]
            yield from _equal("top-ups against wallet", name, unit, granted[name], has)
            yield from _equal("prepaid use against wallet", name, unit, prepaid[name], used)
            if used + held > has:
                yield Discrepancy("wallet not overspent", name, unit, has, used + held)
        elif row.kind == QUOTA:
            most = metered.get((row.customer_id, row.period), Usage()).of(row.unit)
            if used > most:
                yield Discrepancy("metered against quota", name, row.unit, most, used)
        if row is not None:
            servers = found.held.get(name, 0)
            yield from _equal("holds against held", name, row.unit, servers, held)


def check_topups(
    found: Allowances, booked: Mapping[str, Mapping[tuple[str, str], int]]
) -> Iterator[Discrepancy]:
    """What was paid for each top-up is booked; `booked` is entry key -> (account, currency) ->."""
    for topup in found.topups:
        key = topup_key(topup.customer_id, topup.key)
        minor = booked.get(key, {})
        for account, expected in ((CASH, topup.paid_minor), (DEFERRED_REVENUE, -topup.paid_minor)):
            yield from _equal(
                f"top-up against ledger, {account}",
                key,
                minor_of(topup.currency),
                expected,
                minor.get((account, topup.currency), 0),
            )


def _equal(
    check: str, where: str, quantity: str, expected: int, found: int
) -> Iterator[Discrepancy]:
    if expected != found:
        yield Discrepancy(check, where, quantity, expected, found)
