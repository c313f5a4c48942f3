"""What a customer owes for a period so far, and what of it no earlier invoice has billed yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from freehold.bill.customers import Customer, Subscription
from freehold.bill.periods import Period
from freehold.bill.rating import RatedLine, rate_fee, rate_usage
from freehold.bill.usage import Usage, rated_usage
from freehold.errors import ConflictError
from freehold.money import round_money

__all__ = ["Billed", "NewLine", "Part", "Statement", "amount_to_date", "rate_part", "statement"]


@dataclass(frozen=True, slots=True)
class Part:
    """One subscription's share of a period: its usage and its lines, cumulative."""

    subscription: Subscription
    usage: Usage
    lines: tuple[RatedLine, ...]


@dataclass(frozen=True, slots=True)
class Billed:
    """What the earlier invoices of a period hold, summed over them."""

    quantity: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (subscription, key) ->
    minor: Mapping[tuple[str, str], int] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)  # subscription -> to date
    sequence: int = 0

    @classmethod
    def of(cls, documents: Iterable[Mapping[str, Any]]) -> Billed:
        """From the documents of all invoices of a customer's period, in their order."""
        quantity: dict[tuple[str, str], int] = {}
        minor: dict[tuple[str, str], int] = {}
        usage: dict[str, Usage] = {}
        sequence = 0
        for document in documents:
            sequence = document["sequence"]
            for line in document["lines"]:
                key = (line["subscription"], line["key"])
                quantity[key] = quantity.get(key, 0) + line["quantity"]
                minor[key] = minor.get(key, 0) + line["minor"]
            for part in document["subscriptions"]:
                usage[part["id"]] = Usage.read(part["usage_to_date"])
        return cls(quantity, minor, usage, sequence)

    @property
    def total(self) -> Usage:
        return sum(self.usage.values(), Usage())


@dataclass(frozen=True, slots=True)
class NewLine:
    """A line of the next invoice: the cumulative line, and what of it is new."""

    subscription: str
    rated: RatedLine
    quantity: int
    minor: int
    to_date_minor: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A customer's period to date beside what was billed of it."""

    customer: Customer
    period: Period
    currency: str
    parts: tuple[Part, ...]
    billed: Billed
    lines: tuple[NewLine, ...]

    @property
    def usage(self) -> Usage:
        return sum((part.usage for part in self.parts), Usage())

    @property
    def new_usage(self) -> Usage:
        return self.usage - self.billed.total

    @property
    def net_minor(self) -> int:
        """The net of the next invoice."""
        return sum(line.minor for line in self.lines)

    @property
    def nothing_new(self) -> bool:
        return not self.lines and self.new_usage == Usage()


def rate_part(subscription: Subscription, usage: Usage, period: Period) -> Part:
    """Price one subscription's usage of a period; the fee of its first month is by days."""
    terms = subscription.terms
    days = period.days_from(subscription.starts_at) if terms.prorate else period.days
    lines = rate_fee(terms, days, period.days) + rate_usage(
        terms, usage.of(terms.unit), usage.cached(terms.unit)
    )
    return Part(subscription, usage, lines)


def amount_to_date(part: Part) -> int:
    """Minor units that all invoices of the period together hold for this part."""
    return sum(round_money(line.amount, part.subscription.currency).minor for line in part.lines)


def statement(
    connection: Connection,
    customer: Customer,
    period: Period,
    now: datetime,
    billed: Billed,
    usage: Mapping[tuple[str, str], Usage] | None = None,
) -> Statement | None:
    """The customer's period to date; None where no subscription has begun in it.

    `usage` is what `rated_usage` gave, where it was asked for many customers at once. Raises
    ConflictError when less is metered than was billed, or when subscriptions of one period are in
    several currencies.
    """
    taken = [s for s in customer.subscriptions if s.touches(period) and s.starts_at <= now]
    if not taken:
        return None
    if usage is None:
        usage = rated_usage(connection, customer_id=customer.id, period=period)
    parts = tuple(rate_part(s, usage.get((s.id, period.name), Usage()), period) for s in taken)
    if len({s.currency for s in taken}) > 1:
        raise ConflictError(
            f"{customer.name} has subscriptions in several currencies in {period.name}.",
            hint="End one before the month in which the other begins.",
        )
    _refuse_shrunk(customer, period, parts, billed)
    lines = tuple(line for part in parts for line in _new_lines(part, billed))
    return Statement(customer, period, taken[0].currency, parts, billed, lines)


def _new_lines(part: Part, billed: Billed) -> Iterable[NewLine]:
    """Each line rounded once, to date, less what was billed for it before."""
    for rated in part.lines:
        key = (part.subscription.id, rated.key)
        to_date = round_money(rated.amount, part.subscription.currency).minor
        quantity = rated.quantity - billed.quantity.get(key, 0)
        minor = to_date - billed.minor.get(key, 0)
        if quantity or minor:
            yield NewLine(part.subscription.id, rated, quantity, minor, to_date)


def _refuse_shrunk(
    customer: Customer, period: Period, parts: tuple[Part, ...], billed: Billed
) -> None:
    """Usage is only ever added; less of it than was billed means that events were lost."""
    now = {part.subscription.id: part.usage for part in parts}
    for subscription, before in billed.usage.items():
        found = now.get(subscription, Usage())
        if not before.within(found):
            raise ConflictError(
                f"{customer.name} was billed for {before.inputs} inputs and {before.tokens} tokens "
                f"in {period.name}, but only {found.inputs} and {found.tokens} are metered now.",
                hint="Nothing was invoiced; `freehold reconcile` shows what is missing.",
            )
