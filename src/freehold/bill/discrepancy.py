"""Two records of one thing that do not agree, as reconciliation reports them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Discrepancy", "minor_of"]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Two records of one thing that do not agree."""

    check: str  # what was compared with what
    where: str  # a version, a customer's period, an invoice, an entry, an allowance
    quantity: str  # inputs, requests, tokens, compute_us, minor units of a currency, records
    expected: int
    found: int

    @property
    def difference(self) -> int:
        return abs(self.expected - self.found)

    def sentence(self) -> str:
        return (
            f"{self.where}: {self.check}: {self.expected:,} {self.quantity} expected, "
            f"{self.found:,} found."
        )

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.difference}


def minor_of(currency: str) -> str:
    """The quantity of a discrepancy in money."""
    return f"minor units of {currency}"
