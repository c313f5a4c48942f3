"""Rating: what a quantity costs under a plan, line by line, exact; nothing is rounded here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext

from freehold.errors import InputError
from freehold.money import EXACT
from freehold.project import PlanTerms, Tier

__all__ = ["RatedLine", "rate_fee", "rate_usage", "total"]


@dataclass(frozen=True, slots=True)
class RatedLine:
    """One line of a charge, cumulative for its period.

    `key` names the same line on every invoice of the period: fee, included, prepaid, usage-1,
    usage-2, …
    `first` and `last` are the range of units, counted from 1, that a usage line prices (`last`
    None: no end). `days` of `of_days` is what a base fee is for.
    """

    key: str
    kind: str  # fee, included, prepaid, usage
    quantity: int
    unit: str  # month, inputs, tokens
    rate: Decimal  # major units each
    amount: Decimal  # major units, exact
    first: int = 0
    last: int | None = None
    days: int = 0
    of_days: int = 0


def rate_fee(terms: PlanTerms, days: int, of_days: int) -> tuple[RatedLine, ...]:
    """The base fee for `days` of a month of `of_days`; no line without a fee.

    The share is days / days of the month, multiplied before it is divided; the quotient has 60
    digits, so that rounding it to a minor unit later is rounding the exact one.
    """
    if not terms.fee or not days:
        return ()
    with localcontext(EXACT):
        amount = terms.fee if days == of_days else terms.fee * days / of_days
    return (RatedLine("fee", "fee", 1, "month", terms.fee, amount, days=days, of_days=of_days),)


def rate_usage(terms: PlanTerms, quantity: int, cached: int = 0) -> tuple[RatedLine, ...]:
    """The lines for a month's quantity: what the fee covers, then per unit or graduated.

    Graduated: each unit costs the price of the tier that it falls into, tiers counted after the
    included units. The sum is monotone in the quantity and equals the sum over single units.

    `cached` of the quantity came from the answer cache. Where the plan has a price of its own for
    them, they are a line of their own and use up neither included units nor tiers.
    """
    if quantity < 0:
        raise InputError(f"A quantity of {quantity} cannot be rated: it is negative.")
    if terms.cached == 1:
        return tuple(_usage_lines(terms, quantity))
    return (*_usage_lines(terms, quantity - cached), *_cached_lines(terms, cached))


def _usage_lines(terms: PlanTerms, quantity: int) -> Iterator[RatedLine]:
    free, zero = min(quantity, terms.included), Decimal(0)
    if terms.prepaid:
        # Paid when the wallet was topped up; the line is there so that the invoice covers it.
        if quantity:
            yield RatedLine("prepaid", "prepaid", quantity, terms.unit, zero, zero, first=1)
        return
    if free:
        yield RatedLine(
            "included", "included", free, terms.unit, zero, zero, first=1, last=terms.included
        )
    beyond = quantity - free
    below = 0
    for number, tier in enumerate(terms.tiers or (Tier(None, terms.price),), start=1):
        upper = beyond if tier.up_to is None else min(beyond, tier.up_to)
        if upper <= below:
            return
        with localcontext(EXACT):
            amount = tier.price * (upper - below)
        yield RatedLine(
            f"usage-{number}",
            "usage",
            upper - below,
            terms.unit,
            tier.price,
            amount,
            first=terms.included + below + 1,
            last=None if tier.up_to is None else terms.included + tier.up_to,
        )
        below = upper


def _cached_lines(terms: PlanTerms, quantity: int) -> Iterator[RatedLine]:
    if not quantity:
        return
    with localcontext(EXACT):
        rate = terms.cached * (terms.tiers[0].price if terms.tiers else terms.price)
        amount = rate * quantity
    yield RatedLine("cached", "cached", quantity, terms.unit, rate, amount, first=1)


def total(lines: Iterable[RatedLine]) -> Decimal:
    """The exact sum of the lines' amounts."""
    with localcontext(EXACT):
        return sum((line.amount for line in lines), Decimal(0))
