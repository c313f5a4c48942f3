"""The invoice as a document: canonical JSON, so that equal invoices are equal bytes.

Keys are sorted and there is no white space; amounts stand twice, as decimal text in major units and
as an integer of minor units. It holds all that the invoice was made from, frozen: seller, customer,
terms, lines with their sums to date, tax.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from freehold.bill.periods import Period
from freehold.bill.plans import plain_terms
from freehold.bill.statement import NewLine, Part, Statement
from freehold.bill.words import describe
from freehold.clock import format_time
from freehold.errors import IntegrityError, ProjectError
from freehold.money import EXACT, Money, round_money
from freehold.project import Project

__all__ = ["FORMAT", "Issuer", "build", "digest_of", "encode", "read_document", "tax_on"]

FORMAT = "freehold-invoice-1"

# Without a dash, so that a number falls apart into prefix, year and count in one way only.
_PREFIX = re.compile(r"[A-Za-z0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who bills, with which tax, in which language. `tax_rate` is a share: 0.19 is 19 %."""

    seller: str
    tax_rate: Decimal = Decimal(0)
    tax_name: str = "VAT"
    prefix: str = "INV"
    language: str = "en"

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ProjectError(
                f"invoice_prefix is {self.prefix!r}.",
                hint="Use 1 to 12 letters and digits, such as INV.",
            )
        if not self.tax_rate.is_finite() or self.tax_rate < 0:
            raise ProjectError(f"tax_rate is {self.tax_rate}.", hint="Use a share such as 0.19.")

    @classmethod
    def of(cls, project: Project) -> Issuer:
        billing = project.billing
        return cls(
            seller=billing.seller or project.name,
            tax_rate=billing.tax_rate,
            tax_name=billing.tax_name,
            prefix=billing.invoice_prefix,
            language=project.language,
        )


def tax_on(net: Money, rate: Decimal) -> Money:
    """The tax on a net amount, rounded half up once."""
    with localcontext(EXACT):
        exact = net.amount * rate
    return round_money(exact, net.currency)


def build(
    owed: Statement, issuer: Issuer, *, number: str, sequence: int, issued_at: datetime
) -> dict[str, Any]:
    """The next invoice of a statement as plain values."""
    currency = owed.currency
    net = Money(owed.net_minor, currency)
    tax = tax_on(net, issuer.tax_rate)
    total = net + tax
    return {
        "format": FORMAT,
        "number": number,
        "sequence": sequence,
        "kind": "final" if owed.period.ended(issued_at) else "interim",
        "issued_at": format_time(issued_at),
        "language": issuer.language,
        "currency": currency,
        "seller": issuer.seller,
        "customer": {"id": owed.customer.id, "name": owed.customer.name},
        "period": owed.period.document(),
        "subscriptions": [_part(part) for part in owed.parts],
        "usage": {"new": owed.new_usage.document(), "to_date": owed.usage.document()},
        "lines": [_line(line, owed.period, currency, issuer.language) for line in owed.lines],
        "net": _money(net),
        "tax": {"name": issuer.tax_name, "rate": f"{issuer.tax_rate:f}", **_money(tax)},
        "total": _money(total),
    }


def encode(document: dict[str, Any]) -> str:
    """Canonical JSON text."""
    return msgspec.json.encode(document, order="sorted").decode()


def digest_of(text: str) -> str:
    """sha256 of the text in UTF-8, in hex; what `sha256sum` prints for the written file."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_document(number: str, text: str, digest: str) -> dict[str, Any]:
    """A stored document, checked against its digest. Raises IntegrityError."""
    if digest_of(text) != digest:
        raise IntegrityError(
            f"The document of invoice {number} is not what was recorded for it.",
            hint="Restore the database from a backup; see `freehold reconcile`.",
        )
    document: dict[str, Any] = msgspec.json.decode(text)
    if document.get("format") != FORMAT:
        raise IntegrityError(
            f"Invoice {number} was written by another version of Freehold.",
            hint="Use that version, or a newer one.",
        )
    return document


def _money(money: Money) -> dict[str, Any]:
    return {"amount": str(money.amount), "minor": money.minor}


def _part(part: Part) -> dict[str, Any]:
    taken = part.subscription
    return {
        "id": taken.id,
        "plan": taken.terms.name,
        "terms": plain_terms(taken.terms),
        "starts_at": format_time(taken.starts_at),
        "ends_at": format_time(taken.ends_at) if taken.ends_at else None,
        "usage_to_date": part.usage.document(),
    }


def _line(line: NewLine, period: Period, currency: str, language: str) -> dict[str, Any]:
    rated = line.rated
    return {
        "subscription": line.subscription,
        "key": rated.key,
        "kind": rated.kind,
        "description": describe(rated, period, language),
        "quantity": line.quantity,
        "unit": rated.unit,
        "unit_price": f"{rated.rate:f}",
        **_money(Money(line.minor, currency)),
        "to_date": {"quantity": rated.quantity, **_money(Money(line.to_date_minor, currency))},
        **({"days": rated.days, "of_days": rated.of_days} if rated.kind == "fee" else {}),
    }
