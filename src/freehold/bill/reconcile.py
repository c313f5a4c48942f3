"""Reconciliation: served = metered = rated = invoiced = ledger, to the unit and to the minor unit.

What is metered in a period that has no final invoice yet is unbilled, not different.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from freehold.bill.books import Books, read_books
from freehold.bill.check_allowances import check_allowances, check_topups
from freehold.bill.checks import (
    Discrepancy,
    PeriodKey,
    Unbilled,
    check_documents,
    check_entries,
    check_invoiced,
    check_ledger,
    check_numbers,
    check_prices,
    check_rated,
    check_served,
    minor_of,
    priced_anew,
    read_documents,
    unbilled,
)
from freehold.bill.ledger import REVENUE
from freehold.clock import Clock
from freehold.money import Money
from freehold.store.database import Database

__all__ = ["Amounts", "Reconciliation", "reconcile"]


@dataclass(frozen=True, slots=True)
class Amounts:
    """Net amounts in minor units of one currency."""

    currency: str
    rated: int  # the invoiced quantities, priced anew
    invoiced: int
    ledger: int
    difference: int

    def document(self) -> dict[str, str]:
        def text(minor: int) -> str:
            return str(Money(minor, self.currency).amount)

        return {
            "currency": self.currency,
            "rated": text(self.rated),
            "invoiced": text(self.invoiced),
            "ledger": text(self.ledger),
            "difference": text(self.difference),
        }


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Five counts of the same inputs; `difference` is 0 exactly when every comparison agrees."""

    served: int
    metered: int
    rated: int
    invoiced: int
    ledger: int
    unbilled: tuple[Unbilled, ...]
    amounts: tuple[Amounts, ...]
    discrepancies: tuple[Discrepancy, ...]

    @property
    def difference(self) -> int:
        """The sum of all discrepancies, whatever they count: a distance; only 0 is good."""
        return sum(item.difference for item in self.discrepancies)

    @property
    def hints(self) -> tuple[str, ...]:
        """What to do about usage whose period is over and waits for an invoice."""
        waiting: Counter[str] = Counter()
        for item in self.unbilled:
            if item.ended:
                waiting[item.period] += item.inputs
        return tuple(
            f"{inputs:,} inputs of {period} are not invoiced, though it has ended: "
            f"run `freehold invoice close --period {period}`."
            for period, inputs in sorted(waiting.items())
        )

    def document(self) -> dict[str, Any]:
        amounts = [item.document() for item in self.amounts]
        return {
            "served": self.served,
            "metered": self.metered,
            "rated": self.rated,
            "invoiced": self.invoiced,
            "ledger": self.ledger,
            "difference": self.difference,
            "unbilled": sum(item.inputs for item in self.unbilled),
            "amounts": amounts[0] if amounts else None,
            "other_amounts": amounts[1:],
            "open": [item.document() for item in self.unbilled],
            "discrepancies": [item.document() for item in self.discrepancies],
            "hints": list(self.hints),
        }


def reconcile(database: Database, clock: Clock) -> Reconciliation:
    """Compare every record of usage and money with the one it came from."""
    books = read_books(database)
    documents, unreadable = read_documents(books)
    priced = priced_anew(books, documents)
    found = (
        *unreadable,
        *check_served(books),
        *check_rated(books),
        *check_invoiced(books, documents),
        *check_documents(documents),
        *check_prices(books, priced),
        *check_numbers(books),
        *check_ledger(books),
        *check_entries(books),
        *check_allowances(books.allowances, books.subscriptions, books.rated, books.metered),
        *check_topups(books.allowances, {key: sums.minor for key, sums in books.booked.items()}),
    )
    return Reconciliation(
        served=sum(work.inputs for work in books.served.values()),
        metered=sum(usage.inputs for usage in books.metered.values()),
        rated=sum(usage.inputs for usage in books.rated.values()),
        invoiced=sum(invoice.units for invoice in books.invoices),
        ledger=sum(sums.units[REVENUE] for sums in books.booked.values()),
        unbilled=unbilled(books, clock.now()),
        amounts=_amounts(books, priced, found),
        discrepancies=found,
    )


def _amounts(
    books: Books, priced: Mapping[PeriodKey, int], found: Sequence[Discrepancy]
) -> tuple[Amounts, ...]:
    """Sums by currency, the one with the most invoices first."""
    count = Counter(dict.fromkeys((taken.currency for taken in books.subscriptions.values()), 0))
    rated: dict[str, int] = defaultdict(int)
    invoiced: dict[str, int] = defaultdict(int)
    ledger: dict[str, int] = defaultdict(int)
    currency_of: dict[PeriodKey, str] = {}
    for invoice in books.invoices:
        count[invoice.currency] += 1
        invoiced[invoice.currency] += invoice.net_minor
        currency_of[invoice.customer_id, invoice.period] = invoice.currency
    for key, minor in priced.items():
        rated[currency_of[key]] += minor
    for sums in books.booked.values():
        for (account, currency), minor in sums.minor.items():
            if account == REVENUE:
                ledger[currency] -= minor
    return tuple(
        Amounts(
            currency,
            rated[currency],
            invoiced[currency],
            ledger[currency],
            sum(item.difference for item in found if item.quantity == minor_of(currency)),
        )
        for currency in sorted(count.keys() | ledger.keys(), key=lambda name: (-count[name], name))
    )
