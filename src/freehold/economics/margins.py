"""The margin report: revenue, cost and gross margin by customer, plan and model version.

Revenue is what was earned: booked in the ledger, plus rated and not yet invoiced, shown apart.
Every figure is the exact sum of the same cells, so that customers, plans and versions add up to the
same total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from decimal import localcontext

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.customers import Customer, customers_in
from freehold.bill.periods import Period, parse_period, period_of, refuse_future
from freehold.clock import Clock
from freehold.economics.cells import Cell, read_accounts
from freehold.economics.cost import UsageCost, add, shadow_cost
from freehold.economics.figures import NO_PLAN, NO_USAGE, Line, Report
from freehold.economics.notes import stands_out
from freehold.money import EXACT
from freehold.project import Costs
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["Line", "Report", "report"]


def report(
    database: Database, costs: Costs, currency: str, clock: Clock, period: Period | None = None
) -> Report:
    """The accounts of one month, or of all months from the first with anything in it to this one.

    Raises InputError for a month that has not begun.
    """
    now = clock.now()
    if period is not None:
        refuse_future(period, now)
    with database.read() as connection:
        customers = customers_in(connection)
        periods = [period] if period else _months(connection, customers, now)
        accounts = read_accounts(connection, customers, periods, costs, currency, now)
        shadow = shadow_cost(connection, periods, costs)
    cells = accounts.cells
    with localcontext(EXACT):
        fixed = costs.fixed_per_month * len(periods)
    made = Report(
        currency=currency,
        periods=tuple(periods),
        customers=_lines(cells, lambda cell: cell.customer),
        plans=_lines(cells, lambda cell: cell.plan or NO_PLAN),
        versions=_lines(cells, lambda cell: cell.version or NO_USAGE),
        total=_line("total", cells),
        fixed=fixed,
        accounts=accounts,
        shadow=shadow,
    )
    return replace(made, stands_out=stands_out(made, costs, now))


def _months(connection: Connection, customers: list[Customer], now: datetime) -> list[Period]:
    """From the first month with usage, an invoice or a subscription to the present one."""
    starts = [s.starts_at for customer in customers for s in customer.subscriptions]
    names = [period_of(min(at, now)).name for at in starts]
    for column in (schema.usage_events.c.at, schema.invoices.c.period, schema.shadow_counts.c.day):
        earliest = connection.scalar(sa.select(sa.func.min(column)))
        if earliest is not None:
            names.append(earliest[:7])
    last = period_of(now)
    months = [min(parse_period(min(names)), last) if names else last]
    while months[-1].start < last.start:
        months.append(months[-1].next())
    return months


def _lines(cells: Iterable[Cell], key: Callable[[Cell], str]) -> tuple[Line, ...]:
    """One line a key, the one with the greatest revenue first."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(key(cell), []).append(cell)
    lines = [_line(name, group) for name, group in groups.items()]
    return tuple(sorted(lines, key=lambda line: (-line.revenue, line.name)))


def _line(name: str, cells: Iterable[Cell]) -> Line:
    cells = tuple(cells)
    return Line(
        name=name,
        requests=sum(cell.requests for cell in cells),
        inputs=sum(cell.inputs for cell in cells),
        tokens=sum(cell.tokens for cell in cells),
        booked=add(cell.booked for cell in cells),
        unbilled=add(cell.unbilled for cell in cells),
        cost=UsageCost(
            add(cell.cost.compute for cell in cells),
            add(cell.cost.training for cell in cells),
            add(cell.cost.labelling for cell in cells),
        ),
    )
