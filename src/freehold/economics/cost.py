"""What usage cost: measured compute at the machine's price, and a share of the version's making.

The share of training and labelling is inputs / max(inputs ever served, lifetime_inputs): until a
version has served its expected lifetime each input carries the same small part of what it cost to
make; beyond that the cost is spread over all that it has served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.periods import Period
from freehold.meter.events import UsageRow
from freehold.money import EXACT
from freehold.project import Costs
from freehold.registry.counts import shadow_days
from freehold.store import schema

__all__ = [
    "QUANTUM",
    "Making",
    "UsageCost",
    "add",
    "exact",
    "inputs_ever",
    "makings",
    "shadow_cost",
    "usage_cost",
]

QUANTUM = Decimal("1e-18")
"""A single cost is rounded to this once; sums of such figures are exact in any order."""

_US_PER_HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Making:
    """What a version cost before it answered anything, in major units."""

    training: Decimal
    labelling: Decimal
    currency: str

    @property
    def total(self) -> Decimal:
        return add((self.training, self.labelling))


@dataclass(frozen=True, slots=True)
class UsageCost:
    """The cost of some usage of one version, in major units."""

    compute: Decimal = Decimal(0)
    training: Decimal = Decimal(0)
    labelling: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return add((self.compute, self.training, self.labelling))


def exact(amount: Decimal) -> Decimal:
    """Rounded half up to QUANTUM."""
    with localcontext(EXACT):
        return amount.quantize(QUANTUM, rounding=ROUND_HALF_UP)


def add(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum."""
    with localcontext(EXACT):
        return sum(amounts, Decimal(0))


def usage_cost(
    compute_us: int, inputs: int, ever: int, making: Making | None, costs: Costs
) -> UsageCost:
    """The cost of `inputs` that took `compute_us` microseconds of the engine, by a version that has
    answered `ever` inputs in its life; without a making only compute is counted."""
    with localcontext(EXACT):
        compute = exact(costs.machine_per_hour * compute_us / _US_PER_HOUR)
        spread = max(ever, costs.lifetime_inputs)
        if making is None or not spread:
            return UsageCost(compute)
        return UsageCost(
            compute,
            exact(making.training * inputs / spread),
            exact(making.labelling * inputs / spread),
        )


def makings(connection: Connection) -> dict[tuple[str, int], Making]:
    """(model, version) -> what it cost to make, from the registry's records."""
    table = schema.versions
    rows = connection.execute(
        sa.select(
            table.c.model,
            table.c.version,
            table.c.train_cost,
            table.c.label_cost,
            table.c.currency,
        )
    )
    return {
        (row.model, row.version): Making(
            Decimal(row.train_cost), Decimal(row.label_cost), row.currency
        )
        for row in rows
    }


def shadow_cost(connection: Connection, periods: Sequence[Period], costs: Costs) -> Decimal:
    """What shadow runs cost in these months, in major units: compute that nobody pays for."""
    names = {period.name for period in periods}
    days = shadow_days(connection, start=min(names), end=f"{max(names)}-99")
    compute_us = sum(day.compute_us for day in days if day.day[:7] in names)
    with localcontext(EXACT):
        return exact(costs.machine_per_hour * compute_us / _US_PER_HOUR)


def inputs_ever(rows: Iterable[UsageRow]) -> Mapping[tuple[str, int], int]:
    """(model, version) -> inputs that it has answered, for all customers."""
    ever: dict[tuple[str, int], int] = {}
    for row in rows:
        key = (row.model, row.version)
        ever[key] = ever.get(key, 0) + row.inputs
    return ever
