"""The comparisons of reconciliation: each record of usage and money against the one it came from.

They are made where things were recorded (a version, a customer's period, an invoice, an entry), so
that two mistakes cannot cancel each other out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from freehold.bill.books import Booked, Books, Work
from freehold.bill.discrepancy import Discrepancy, minor_of
from freehold.bill.invoices import Invoice, entry_key
from freehold.bill.ledger import RECEIVABLE, REVENUE, TAX_PAYABLE
from freehold.bill.periods import parse_period
from freehold.bill.statement import Billed, amount_to_date, rate_part
from freehold.bill.usage import Usage
from freehold.errors import IntegrityError

__all__ = [
    "Discrepancy",
    "Documents",
    "PeriodKey",
    "Unbilled",
    "check_documents",
    "check_entries",
    "check_invoiced",
    "check_ledger",
    "check_numbers",
    "check_prices",
    "check_rated",
    "check_served",
    "minor_of",
    "priced_anew",
    "read_documents",
    "unbilled",
]

PeriodKey = tuple[str, str]  # (customer id, YYYY-MM)
Documents = Mapping[PeriodKey, list[tuple[Invoice, dict[str, Any]]]]


@dataclass(frozen=True, slots=True)
class Unbilled:
    """Inputs of a customer's period that wait for an invoice."""

    customer: str
    period: str
    inputs: int
    ended: bool

    def document(self) -> dict[str, Any]:
        return asdict(self)


def read_documents(books: Books) -> tuple[Documents, list[Discrepancy]]:
    """Every invoice with its document, by customer and period; those that were changed apart."""
    documents: dict[PeriodKey, list[tuple[Invoice, dict[str, Any]]]] = defaultdict(list)
    unreadable: list[Discrepancy] = []
    for invoice in books.invoices:
        try:
            pair = (invoice, invoice.document())
        except IntegrityError:
            check = "document against its sha256"
            unreadable.append(Discrepancy(check, invoice.number, "records", 1, 0))
        else:
            documents[invoice.customer_id, invoice.period].append(pair)
    return documents, unreadable


def check_served(books: Books) -> Iterator[Discrepancy]:
    """What the server counted is what the meter recorded, version by version."""
    for name in sorted(books.served.keys() | books.worked.keys()):
        served, worked = (books.served.get(name, Work()), books.worked.get(name, Work()))
        yield from _compare("served against metered", name, asdict(served), asdict(worked))


def check_rated(books: Books) -> Iterator[Discrepancy]:
    """Every event lies in a subscription: without one it has no price."""
    rated = _rated(books)
    for key, metered in sorted(books.metered.items()):
        found = rated.get(key, Usage())
        yield from _compare(
            "metered against rated", _where(books, key), asdict(metered), asdict(found)
        )


def check_invoiced(books: Books, documents: Documents) -> Iterator[Discrepancy]:
    """More invoiced than rated is wrong at any time, less once there is a final invoice."""
    rated, units, final = _rated(books), _units(books), _final(books)
    for key in sorted(rated.keys() | units.keys()):
        due = asdict(rated.get(key, Usage()))
        billed = {"inputs": units.get(key, 0)}
        if key in documents:
            to_date = Billed.of(document for _, document in documents[key]).total
            billed = {**asdict(to_date), **billed}
        for quantity, found in billed.items():
            if found > due[quantity] or (found < due[quantity] and key in final):
                where = _where(books, key)
                yield Discrepancy("rated against invoiced", where, quantity, due[quantity], found)


def unbilled(books: Books, now: datetime) -> tuple[Unbilled, ...]:
    """Rated inputs of periods without a final invoice that no invoice holds, by period."""
    units, final = _units(books), _final(books)
    waiting = [
        Unbilled(
            books.names.get(key[0], key[0]),
            key[1],
            usage.inputs - units.get(key, 0),
            parse_period(key[1]).ended(now),
        )
        for key, usage in _rated(books).items()
        if key not in final and usage.inputs > units.get(key, 0)
    ]
    return tuple(sorted(waiting, key=lambda item: (item.period, item.customer)))


def check_documents(documents: Documents) -> Iterator[Discrepancy]:
    """The row of an invoice says what its document says, and the document adds up."""
    for invoice, document in (pair for pairs in documents.values() for pair in pairs):
        money = minor_of(invoice.currency)
        net, tax = document["net"]["minor"], document["tax"]["minor"]
        lines = sum(line["minor"] for line in document["lines"])
        for name, quantity, expected, found in (
            ("sum of lines", money, lines, net),
            ("net and tax", money, net + tax, document["total"]["minor"]),
            ("net", money, net, invoice.net_minor),
            ("tax", money, tax, invoice.tax_minor),
            ("total", money, document["total"]["minor"], invoice.total_minor),
            ("units", "inputs", document["usage"]["new"]["inputs"], invoice.units),
            ("what it is for", "records", 1, int(_same(document, invoice))),
        ):
            if expected != found:
                check = f"document against row, {name}"
                yield Discrepancy(check, invoice.number, quantity, expected, found)


def check_prices(books: Books, priced: Mapping[PeriodKey, int]) -> Iterator[Discrepancy]:
    """The invoiced quantities at the subscription's prices are the invoiced amounts."""
    invoiced: dict[PeriodKey, int] = defaultdict(int)
    currency: dict[PeriodKey, str] = {}
    for invoice in books.invoices:
        invoiced[invoice.customer_id, invoice.period] += invoice.net_minor
        currency[invoice.customer_id, invoice.period] = invoice.currency
    for key, minor in sorted(priced.items()):
        if minor != invoiced[key]:
            check, where = "priced anew against invoiced", _where(books, key)
            yield Discrepancy(check, where, minor_of(currency[key]), minor, invoiced[key])


def priced_anew(books: Books, documents: Documents) -> dict[PeriodKey, int]:
    """The invoiced quantities of each customer's period under the subscriptions' terms, net.

    A period with an unreadable document is left out: it is reported already, and what was invoiced
    in it cannot be known.
    """
    issued: dict[PeriodKey, int] = defaultdict(int)
    for invoice in books.invoices:
        issued[invoice.customer_id, invoice.period] += 1
    priced: dict[PeriodKey, int] = {}
    for key, pairs in documents.items():
        if len(pairs) == issued[key]:
            billed, period = Billed.of(document for _, document in pairs), parse_period(key[1])
            priced[key] = sum(
                amount_to_date(rate_part(books.subscriptions[subscription], usage, period))
                for subscription, usage in billed.usage.items()
                if subscription in books.subscriptions
            )
    return priced


def check_numbers(books: Books) -> Iterator[Discrepancy]:
    """Numbers of a series, and invoices of a customer's period, are 1, 2, 3, … without a gap."""
    series: dict[str, set[int]] = defaultdict(set)
    for invoice in books.invoices:
        prefix, _, count = invoice.number.rpartition("-")
        series[prefix].add(int(count) if count.isdigit() else 0)
        series[_where(books, (invoice.customer_id, invoice.period))].add(invoice.sequence)
    for name, counts in sorted(series.items()):
        wanted = set(range(1, max(counts) + 1))
        if wrong := len(wanted ^ counts):
            found = len(wanted) - wrong
            yield Discrepancy("numbers without a gap", name, "records", len(wanted), found)


def check_ledger(books: Books) -> Iterator[Discrepancy]:
    """Each invoice is booked as it was issued, and revenue comes from invoices only."""
    issued = {entry_key(invoice.number): invoice for invoice in books.invoices}
    for key, invoice in issued.items():
        booked, currency = books.booked.get(key, Booked()), invoice.currency
        for account, quantity, expected, found in (
            (RECEIVABLE, minor_of(currency), invoice.total_minor, booked.of(RECEIVABLE, currency)),
            (REVENUE, minor_of(currency), -invoice.net_minor, booked.of(REVENUE, currency)),
            (TAX_PAYABLE, minor_of(currency), -invoice.tax_minor, booked.of(TAX_PAYABLE, currency)),
            ("units", "inputs", invoice.units, booked.units[REVENUE]),
            ("customer", "records", 1, int(booked.customers <= {invoice.customer_id})),
        ):
            if expected != found:
                check = f"invoiced against ledger, {account}"
                yield Discrepancy(check, invoice.number, quantity, expected, found)
    for key in sorted(books.booked.keys() - issued.keys()):
        booked = books.booked[key]
        for (account, currency), minor in sorted(booked.minor.items()):
            if account == REVENUE and minor:
                yield Discrepancy("revenue without an invoice", key, minor_of(currency), 0, minor)
        if units := booked.units[REVENUE]:
            yield Discrepancy("units without an invoice", key, "inputs", 0, units)


def check_entries(books: Books) -> Iterator[Discrepancy]:
    """The postings of an entry sum to zero in each currency."""
    for (key, currency), left in sorted(books.unbalanced.items()):
        yield Discrepancy("debits against credits", key, minor_of(currency), 0, left)


def _compare(
    check: str, where: str, expected: Mapping[str, int], found: Mapping[str, int]
) -> Iterator[Discrepancy]:
    for quantity, count in expected.items():
        if count != found[quantity]:
            yield Discrepancy(check, where, quantity, count, found[quantity])


def _same(document: Mapping[str, Any], invoice: Invoice) -> bool:
    stated = (
        document["number"],
        document["customer"]["id"],
        document["period"]["name"],
        document["sequence"],
        document["kind"],
        document["currency"],
        document["issued_at"],
    )
    row = (
        invoice.number,
        invoice.customer_id,
        invoice.period,
        invoice.sequence,
        invoice.kind,
        invoice.currency,
        invoice.closed_at,
    )
    return stated == row


def _where(books: Books, key: PeriodKey) -> str:
    customer, period = key
    return f"{books.names.get(customer, customer)}, {period}"


def _rated(books: Books) -> dict[PeriodKey, Usage]:
    rated: dict[PeriodKey, Usage] = defaultdict(Usage)
    for (subscription, period), usage in books.rated.items():
        rated[books.subscriptions[subscription].customer_id, period] += usage
    return rated


def _units(books: Books) -> dict[PeriodKey, int]:
    units: dict[PeriodKey, int] = defaultdict(int)
    for invoice in books.invoices:
        units[invoice.customer_id, invoice.period] += invoice.units
    return units


def _final(books: Books) -> set[PeriodKey]:
    return {(i.customer_id, i.period) for i in books.invoices if i.kind == "final"}
