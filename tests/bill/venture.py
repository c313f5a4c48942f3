"""A small venture with customers, usage and invoices: what the tests of money act on."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from freehold.bill.customers import Customer, add_customer
from freehold.bill.document import Issuer
from freehold.bill.invoices import Invoice, close
from freehold.bill.periods import parse_period
from freehold.clock import ManualClock, format_time
from freehold.project import PlanTerms, Tier
from freehold.store import schema
from freehold.store.database import Database

STARTER = PlanTerms(
    name="starter", fee=Decimal("19.00"), included=100, price=Decimal("0.0125"), prorate=False
)
GROWTH = PlanTerms(
    name="growth",
    fee=Decimal("99.00"),
    unit="tokens",
    included=1000,
    tiers=(Tier(5000, Decimal("0.0021")), Tier(None, Decimal("0.0013"))),
)
FREE = PlanTerms(name="free")

ISSUER = Issuer("Example Texts Ltd\n1 Canal Street\nLeeds", Decimal("0.19"))
PLAIN = Issuer("Example Texts Ltd")


def time(text: str) -> datetime:
    """`2026-11-05` or `2026-11-05T10:00` as an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Venture:
    """The database of a venture and what happens to it, by hand."""

    database: Database
    clock: ManualClock = field(default_factory=lambda: ManualClock(time("2026-11-20T12:00")))
    issuer: Issuer = PLAIN
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def add(
        self,
        name: str = "North Bank",
        plan: PlanTerms = STARTER,
        starts: str = "2026-11-01",
        currency: str = "EUR",
    ) -> Customer:
        """Ids are made from the name, so that two databases hold the same."""
        return add_customer(
            self.database,
            name,
            plan,
            self.clock,
            currency=currency,
            starts=time(starts),
            customer_id=f"cus_{name}",
            subscription_id=f"sub_{name}",
        )

    def use(
        self,
        inputs: int,
        at: str = "2026-11-10",
        *,
        customer: str = "cus_North Bank",
        tokens: int | None = None,
        compute_us: int = 1000,
        model: str = "bank",
        version: int = 1,
        requests: int = 1,
    ) -> None:
        """Answered requests, as the meter records them: events and what the server counted."""
        for _ in range(requests):
            figures = {
                "at": format_time(time(at)),
                "model": model,
                "version": version,
                "inputs": inputs,
                "tokens": 10 * inputs if tokens is None else tokens,
                "compute_us": compute_us,
            }
            number = next(self._numbers)
            with self.database.write() as connection:
                connection.execute(
                    schema.usage_events.insert(),
                    {
                        "customer_id": customer,
                        "request_id": f"req_{number}",
                        "key_id": "key_1",
                        **figures,
                    },
                )
                connection.execute(
                    schema.served.insert(), {"server": "s1", "requests": 1, **figures}
                )

    def close(self, customer: str = "North Bank", period: str = "2026-11") -> Invoice | None:
        return close(self.database, customer, parse_period(period), self.clock, self.issuer)

    def bill(self, customer: str = "North Bank", period: str = "2026-11") -> Invoice:
        invoice = self.close(customer, period)
        assert invoice is not None
        return invoice

    def run(self, statement: Any) -> None:
        with self.database.write() as connection:
            connection.execute(statement)

    def rows(self, query: Any) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(query))
