"""Invoices: closing a period bills what is metered so far less what was billed, once, in one
transaction with its number and its booking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.bill import ledger
from freehold.bill.customers import Customer, find_in, list_customers
from freehold.bill.document import Issuer, build, digest_of, encode, read_document
from freehold.bill.ledger import RECEIVABLE, REVENUE, TAX_PAYABLE, Posting
from freehold.bill.periods import Period, refuse_future
from freehold.bill.statement import Billed, Statement, statement
from freehold.bill.usage import Usage
from freehold.clock import Clock
from freehold.errors import ConflictError, IntegrityError, NotFoundError
from freehold.store import schema
from freehold.store.database import Database

__all__ = [
    "Invoice",
    "all_invoices",
    "close",
    "close_all",
    "entry_key",
    "get",
    "list_invoices",
    "of_period",
    "outstanding",
]


@dataclass(frozen=True, slots=True)
class Invoice:
    """An issued invoice; amounts in minor units, `units` the inputs that it newly covers."""

    number: str
    customer_id: str
    period: str
    sequence: int
    kind: str  # interim, final
    currency: str
    net_minor: int
    tax_minor: int
    total_minor: int
    units: int
    text: str  # canonical JSON
    digest: str
    closed_at: str
    fresh: bool = field(default=False, compare=False)  # issued by this very call

    def document(self) -> dict[str, Any]:
        """The document, checked against its digest. Raises IntegrityError."""
        return read_document(self.number, self.text, self.digest)


def close(
    database: Database, customer: str, period: Period, clock: Clock, issuer: Issuer
) -> Invoice | None:
    """Bill a customer (id or name) for what is new in a period.

    Bills everything metered in the period so far less what its earlier invoices hold. With nothing
    new the last invoice is returned as it was issued, or None where there is none to issue. Before
    the period's end an invoice is interim, after it final. Raises InputError for a period that has
    not begun, NotFoundError for an unknown customer, ConflictError where less is metered than was
    billed.
    """
    now = clock.now()
    refuse_future(period, now)
    with database.write() as connection:
        who = find_in(connection, customer)
        # Taken before anything is read: two closings of one customer see each other's result.
        database.lock(connection, f"invoices-of:{who.id}")
        return _close(database, connection, who, period, now, issuer)


def close_all(
    database: Database,
    period: Period,
    clock: Clock,
    issuer: Issuer,
    *,
    on_invoice: Callable[[Customer, Invoice | None], None] | None = None,
) -> list[Invoice]:
    """Close a period for every customer, each in a transaction of its own.

    A customer that cannot be billed does not keep the others from it: all are tried, then the
    troubles are raised as one ConflictError. `on_invoice` hears of each result.
    """
    refuse_future(period, clock.now())
    issued: list[Invoice] = []
    troubles: list[str] = []
    for customer in list_customers(database):
        try:
            invoice = close(database, customer.id, period, clock, issuer)
        except (ConflictError, IntegrityError) as error:
            troubles.append(error.message)
            continue
        if on_invoice is not None:
            on_invoice(customer, invoice)
        if invoice is not None:
            issued.append(invoice)
    if troubles:
        raise ConflictError(
            f"{len(troubles)} of the customers could not be billed: {' '.join(troubles)}",
            hint="The others are billed. `freehold reconcile` shows what is missing.",
        )
    return issued


def outstanding(
    connection: Connection,
    customer: Customer,
    period: Period,
    now: datetime,
    usage: Mapping[tuple[str, str], Usage] | None = None,
) -> Statement | None:
    """What the next invoice of a period would hold, without issuing it.

    `usage` is what `rated_usage` gave, where it was asked for many customers at once. Raises
    ConflictError and IntegrityError as `close` does.
    """
    billed = Billed.of(i.document() for i in of_period(connection, customer.id, period))
    return statement(connection, customer, period, now, billed, usage)


def get(database: Database, number: str) -> Invoice:
    """The invoice with a number. Raises NotFoundError."""
    with database.read() as connection:
        row = connection.execute(
            sa.select(schema.invoices).where(schema.invoices.c.number == number)
        ).first()
    if row is None:
        raise NotFoundError(
            f"There is no invoice {number!r}.",
            hint="`freehold invoice list` shows those there are.",
        )
    return _invoice(row)


def list_invoices(
    database: Database, *, customer_id: str | None = None, period: Period | None = None
) -> list[Invoice]:
    """Invoices in the order of their issue."""
    table = schema.invoices
    query = sa.select(table).order_by(table.c.id)
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    if period is not None:
        query = query.where(table.c.period == period.name)
    with database.read() as connection:
        return [_invoice(row) for row in connection.execute(query)]


def all_invoices(connection: Connection) -> list[Invoice]:
    """Every invoice in the order of its issue, within a transaction."""
    table = schema.invoices
    return [_invoice(row) for row in connection.execute(sa.select(table).order_by(table.c.id))]


def of_period(connection: Connection, customer_id: str, period: Period) -> list[Invoice]:
    """A customer's invoices of one period, in their order."""
    table = schema.invoices
    rows = connection.execute(
        sa.select(table)
        .where(table.c.customer_id == customer_id, table.c.period == period.name)
        .order_by(table.c.sequence)
    )
    return [_invoice(row) for row in rows]


def entry_key(number: str) -> str:
    """The ledger key of an invoice's booking."""
    return f"invoice:{number}"


def _close(
    database: Database,
    connection: Connection,
    customer: Customer,
    period: Period,
    now: datetime,
    issuer: Issuer,
) -> Invoice | None:
    earlier = of_period(connection, customer.id, period)
    billed = Billed.of(invoice.document() for invoice in earlier)
    owed = statement(connection, customer, period, now, billed)
    if owed is None or owed.nothing_new:
        return earlier[-1] if earlier else None
    _refuse_other_currency(owed, earlier)
    # Numbers are given last and under one lock, so that a rollback leaves no gap.
    database.lock(connection, "invoice-number")
    number = _next_number(connection, f"{issuer.prefix}-{now.year}-")
    document = build(owed, issuer, number=number, sequence=billed.sequence + 1, issued_at=now)
    invoice = _record(connection, owed, document)
    _book(connection, owed, invoice, now)
    return invoice


def _refuse_other_currency(owed: Statement, earlier: list[Invoice]) -> None:
    for invoice in earlier:
        if invoice.currency != owed.currency:
            raise ConflictError(
                f"{owed.customer.name} was billed in {invoice.currency} for {owed.period.name}, "
                f"but the subscription is in {owed.currency}.",
                hint="A period has one currency; nothing was invoiced.",
            )


def _next_number(connection: Connection, series: str) -> str:
    """The number after the last one of a series; the caller holds the lock."""
    table = schema.invoices
    last = connection.scalar(
        sa.select(table.c.number)
        .where(table.c.number.startswith(series, autoescape=True))
        .order_by(table.c.id.desc())
        .limit(1)
    )
    return f"{series}{int(last.removeprefix(series)) + 1 if last else 1:06d}"


def _record(connection: Connection, owed: Statement, document: dict[str, Any]) -> Invoice:
    text = encode(document)
    values = {
        "number": document["number"],
        "customer_id": owed.customer.id,
        "period": owed.period.name,
        "sequence": document["sequence"],
        "kind": document["kind"],
        "currency": owed.currency,
        "net_minor": document["net"]["minor"],
        "tax_minor": document["tax"]["minor"],
        "total_minor": document["total"]["minor"],
        "units": owed.new_usage.inputs,
        "digest": digest_of(text),
        "closed_at": document["issued_at"],
    }
    connection.execute(schema.invoices.insert(), {**values, "document": text})
    return Invoice(**values, text=text, fresh=True)


def _book(connection: Connection, owed: Statement, invoice: Invoice, now: datetime) -> None:
    """Receivable from the customer; revenue, with the inputs it is for; tax owed to the state."""

    def posting(account: str, minor: int, units: int = 0) -> Posting:
        return Posting(account, minor, invoice.currency, invoice.customer_id, units)

    postings = [
        posting(RECEIVABLE, invoice.total_minor),
        posting(REVENUE, -invoice.net_minor, invoice.units),
    ]
    if invoice.tax_minor:
        postings.append(posting(TAX_PAYABLE, -invoice.tax_minor))
    ledger.post(
        connection,
        entry_key(invoice.number),
        now,
        f"Invoice {invoice.number} to {owed.customer.name} for {invoice.period}",
        postings,
    )


def _invoice(row: Row[Any]) -> Invoice:
    return Invoice(
        number=row.number,
        customer_id=row.customer_id,
        period=row.period,
        sequence=row.sequence,
        kind=row.kind,
        currency=row.currency,
        net_minor=row.net_minor,
        tax_minor=row.tax_minor,
        total_minor=row.total_minor,
        units=row.units,
        text=row.document,
        digest=row.digest,
        closed_at=row.closed_at,
    )
