"""The figures of a margin report: a line a customer, plan or version, and the report they make."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from freehold.bill.periods import Period
from freehold.economics.cells import Accounts
from freehold.economics.cost import UsageCost, add, exact
from freehold.money import EXACT, minor_digits

__all__ = ["NO_PLAN", "NO_USAGE", "Line", "Report", "plain", "shown"]

NO_USAGE = "(no usage)"
NO_PLAN = "(no plan)"


@dataclass(frozen=True, slots=True)
class Line:
    """A customer, plan or version with all it earned and cost, in major units."""

    name: str
    requests: int
    inputs: int
    tokens: int
    booked: Decimal
    unbilled: Decimal
    cost: UsageCost

    @property
    def revenue(self) -> Decimal:
        return add((self.booked, self.unbilled))

    @property
    def gross_margin(self) -> Decimal:
        return add((self.revenue, -self.cost.total))

    @property
    def margin_percent(self) -> Decimal | None:
        """Of revenue, rounded to a hundredth; None without revenue."""
        if not self.revenue:
            return None
        with localcontext(EXACT):
            return (self.gross_margin * 100 / self.revenue).quantize(
                Decimal("0.01"), rounding=ROUND_HALF_UP
            )

    @property
    def cost_per_1000(self) -> Decimal | None:
        """Per 1,000 inputs; None without any."""
        return _per_1000(self.cost.total, self.inputs)

    @property
    def revenue_per_1000(self) -> Decimal | None:
        return _per_1000(self.revenue, self.inputs)

    def document(self, currency: str) -> dict[str, Any]:
        def text(amount: Decimal | None) -> str | None:
            return None if amount is None else plain(amount, currency)

        return {
            "name": self.name,
            "requests": self.requests,
            "inputs": self.inputs,
            "tokens": self.tokens,
            "booked": text(self.booked),
            "unbilled": text(self.unbilled),
            "revenue": text(self.revenue),
            "cost": {
                "compute": text(self.cost.compute),
                "training": text(self.cost.training),
                "labelling": text(self.cost.labelling),
                "total": text(self.cost.total),
            },
            "gross_margin": text(self.gross_margin),
            "margin_percent": None if self.margin_percent is None else str(self.margin_percent),
            "cost_per_1000": text(self.cost_per_1000),
            "revenue_per_1000": text(self.revenue_per_1000),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The accounts of some months in one currency."""

    currency: str
    periods: tuple[Period, ...]
    customers: tuple[Line, ...]
    plans: tuple[Line, ...]
    versions: tuple[Line, ...]
    total: Line
    fixed: Decimal
    accounts: Accounts
    shadow: Decimal = Decimal(0)  # compute of answers that nobody was given
    stands_out: tuple[str, ...] = ()

    @property
    def operating_result(self) -> Decimal:
        """Gross margin less fixed costs and shadow runs."""
        return add((self.total.gross_margin, -self.fixed, -self.shadow))

    def document(self) -> dict[str, Any]:
        def lines(found: Iterable[Line]) -> list[dict[str, Any]]:
            return [line.document(self.currency) for line in found]

        return {
            "currency": self.currency,
            "from": self.periods[0].name,
            "to": self.periods[-1].name,
            "customers": lines(self.customers),
            "plans": lines(self.plans),
            "versions": lines(self.versions),
            "total": self.total.document(self.currency),
            "fixed": plain(self.fixed, self.currency),
            "shadow": plain(self.shadow, self.currency),
            "operating_result": plain(self.operating_result, self.currency),
            "stands_out": list(self.stands_out),
        }


def plain(amount: Decimal, currency: str) -> str:
    """An exact amount as text: no trailing zeros beyond the currency's own decimals."""
    with localcontext(EXACT):
        whole, _, decimals = f"{amount:f}".partition(".")
        decimals = decimals.rstrip("0").ljust(minor_digits(currency), "0")
    return f"{whole}.{decimals}" if decimals else whole


def shown(amount: Decimal, currency: str) -> str:
    """An amount for people: the currency's decimals; below 1 at least three significant digits."""
    places = minor_digits(currency)
    if amount and abs(amount) < 1:
        places = max(places, 2 - amount.adjusted())
    with localcontext(EXACT):
        return f"{amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP):,f}"


def _per_1000(amount: Decimal, inputs: int) -> Decimal | None:
    if not inputs:
        return None
    with localcontext(EXACT):
        return exact(amount * 1000 / inputs)
