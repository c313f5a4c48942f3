"""The finest grain of the accounts: one customer's use of one model version in one month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext

from sqlalchemy import Connection

from freehold.bill.customers import Customer, Subscription
from freehold.bill.periods import Period
from freehold.economics.cost import Making, UsageCost, exact, inputs_ever, makings, usage_cost
from freehold.economics.revenue import booked_revenue, unbilled_revenue
from freehold.meter.events import UsageRow, usage_rows
from freehold.money import EXACT
from freehold.project import Costs

__all__ = ["Accounts", "Cell", "read_accounts"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Usage with its cost and its part of the month's revenue, in major units.

    `version` is empty for revenue of a month without usage, `plan` without a subscription.
    """

    customer: str
    plan: str
    period: str
    version: str
    requests: int
    inputs: int
    tokens: int
    cost: UsageCost
    booked: Decimal
    unbilled: Decimal


@dataclass(frozen=True, slots=True)
class Accounts:
    """Everything that a report adds up."""

    cells: tuple[Cell, ...]
    ever: Mapping[str, int]  # model@version -> inputs of its life
    makings: Mapping[str, Making]  # model@version -> what it cost to make
    plans: Mapping[str, Subscription]  # plan -> the subscription to it that was taken last
    troubles: tuple[str, ...]


def read_accounts(
    connection: Connection,
    customers: Sequence[Customer],
    periods: Sequence[Period],
    costs: Costs,
    currency: str,
    now: datetime,
) -> Accounts:
    """Cells of all customers and months; amounts in other currencies are left out and named."""
    made = makings(connection)
    ever = inputs_ever(usage_rows(connection))
    booked = booked_revenue(connection, currency)
    unbilled = unbilled_revenue(connection, customers, periods, currency, now)
    known = {key: making for key, making in made.items() if making.currency == currency}
    cells: list[Cell] = []
    for period in periods:
        used: dict[str, list[UsageRow]] = defaultdict(list)
        for row in usage_rows(connection, period.start, period.end):
            used[row.customer_id].append(row)
        for customer in customers:
            rows = used[customer.id]
            place = (customer.id, period.name)
            zero = Decimal(0)
            cells += _cells(
                customer,
                period,
                rows,
                [
                    usage_cost(
                        row.compute_us,
                        row.inputs,
                        ever[row.model, row.version],
                        known.get((row.model, row.version)),
                        costs,
                    )
                    for row in rows
                ],
                booked.get(place, zero),
                unbilled.amounts.get(place, zero),
            )
    return Accounts(
        cells=tuple(cells),
        ever={_name(key): inputs for key, inputs in ever.items()},
        makings={_name(key): making for key, making in known.items()},
        plans=_plans(customers, currency),
        troubles=(*unbilled.troubles, *_left_out(customers, made, ever, currency)),
    )


def _cells(
    customer: Customer,
    period: Period,
    rows: Sequence[UsageRow],
    costs: Sequence[UsageCost],
    booked: Decimal,
    unbilled: Decimal,
) -> Iterator[Cell]:
    """A cell a version; the month's revenue is spread over them by the plan's units."""
    taken = _subscription(customer, period)
    plan = taken.terms.name if taken else ""
    if not rows:
        if booked or unbilled:
            yield Cell(customer.name, plan, period.name, "", 0, 0, 0, UsageCost(), booked, unbilled)
        return
    unit = taken.terms.unit if taken else "inputs"
    weights = [row.tokens if unit == "tokens" else row.inputs for row in rows]
    shares = zip(_spread(booked, weights), _spread(unbilled, weights), strict=True)
    for row, cost, (own_booked, own_unbilled) in zip(rows, costs, shares, strict=True):
        yield Cell(
            customer.name,
            plan,
            period.name,
            _name((row.model, row.version)),
            row.requests,
            row.inputs,
            row.tokens,
            cost,
            own_booked,
            own_unbilled,
        )


def _spread(amount: Decimal, weights: Sequence[int]) -> list[Decimal]:
    """Parts by weight that sum to the amount exactly: the last one takes the rest."""
    whole = sum(weights)
    with localcontext(EXACT):
        parts = [exact(amount * weight / whole) if whole else Decimal(0) for weight in weights[:-1]]
        return [*parts, amount - sum(parts, Decimal(0))]


def _subscription(customer: Customer, period: Period) -> Subscription | None:
    """The subscription that the month's revenue is counted under: the last one in it."""
    within = [taken for taken in customer.subscriptions if taken.touches(period)]
    return within[-1] if within else None


def _plans(customers: Sequence[Customer], currency: str) -> dict[str, Subscription]:
    taken = [s for customer in customers for s in customer.subscriptions if s.currency == currency]
    return {s.terms.name: s for s in sorted(taken, key=lambda s: s.starts_at)}


def _left_out(
    customers: Sequence[Customer],
    made: Mapping[tuple[str, int], Making],
    ever: Mapping[tuple[str, int], int],
    currency: str,
) -> Iterator[str]:
    for customer in customers:
        others = {s.currency for s in customer.subscriptions} - {currency}
        if any(taken.terms.prepaid for taken in customer.subscriptions):
            yield (
                f"{customer.name} pays ahead: what its top-ups brought is deferred revenue and not "
                f"in the report, though the cost of its use is."
            )
        if others:
            yield (
                f"{customer.name} pays in {', '.join(sorted(others))}: this revenue is not in the "
                f"report, which is in {currency}."
            )
    for key in sorted(ever):
        if key not in made:
            yield f"{_name(key)} is not in the registry, so what it cost to make is not known."
        elif made[key].currency != currency:
            yield (
                f"What {_name(key)} cost to make was recorded in {made[key].currency} and is not "
                f"in the report, which is in {currency}."
            )


def _name(key: tuple[str, int]) -> str:
    return f"{key[0]}@{key[1]}"
