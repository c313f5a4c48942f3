"""Customers and what they subscribed to: half-open intervals in UTC, terms frozen at the start."""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.bill.periods import Period
from freehold.bill.plans import Snapshot, freeze, thaw
from freehold.clock import Clock, format_time, parse_time
from freehold.errors import ConflictError, InputError, NotFoundError
from freehold.project import PlanTerms
from freehold.store import schema
from freehold.store.database import Database

__all__ = [
    "Customer",
    "Subscription",
    "active",
    "add_customer",
    "customers_in",
    "find",
    "find_in",
    "list_customers",
    "subscriptions",
]

_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Subscription:
    """A plan taken by a customer; `starts_at` belongs to it, `ends_at` does not (None: no end)."""

    id: str
    customer_id: str
    snapshot: Snapshot
    starts_at: datetime
    ends_at: datetime | None

    @property
    def terms(self) -> PlanTerms:
        return self.snapshot.terms

    @property
    def currency(self) -> str:
        return self.snapshot.currency

    def touches(self, period: Period) -> bool:
        """Whether some of it lies in the period."""
        return self.starts_at < period.end and (
            self.ends_at is None or self.ends_at > max(period.start, self.starts_at)
        )

    def covers(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody who pays, with every subscription by its start."""

    id: str
    name: str
    created_at: datetime
    subscriptions: tuple[Subscription, ...]

    @property
    def plan(self) -> str:
        """The name of the plan taken last; empty without one."""
        return self.subscriptions[-1].terms.name if self.subscriptions else ""

    def document(self) -> dict[str, Any]:
        last = self.subscriptions[-1] if self.subscriptions else None
        return {
            "id": self.id,
            "name": self.name,
            "plan": self.plan,
            "created_at": format_time(self.created_at),
            "starts_at": format_time(last.starts_at) if last else None,
            "ends_at": format_time(last.ends_at) if last and last.ends_at else None,
        }


def add_customer(
    database: Database,
    name: str,
    plan: PlanTerms,
    clock: Clock,
    *,
    currency: str,
    starts: datetime | None = None,
    customer_id: str | None = None,
    subscription_id: str | None = None,
) -> Customer:
    """A new customer who subscribes to a plan, from `starts` (now, if not given) on.

    Ids are random unless they are given. Raises ConflictError for a name that is taken, InputError
    for one that is not a name, ProjectError for terms that cannot be meant.
    """
    name = _clean(name)
    now = clock.now()
    starts = starts or now
    if starts.tzinfo is None:
        raise InputError("The start has no time zone.", hint="Give it with one, best in UTC.")
    customer_id = customer_id or f"cus_{secrets.token_hex(10)}"
    with database.write() as connection:
        added = connection.execute(
            database.insert_new(schema.customers),
            {"id": customer_id, "name": name, "created_at": format_time(now)},
        )
        if added.rowcount != 1:
            raise ConflictError(
                f"There is already a customer {name!r}.",
                hint="Choose another name; `freehold customer list` shows those there are.",
            )
        connection.execute(
            schema.subscriptions.insert(),
            {
                "id": subscription_id or f"sub_{secrets.token_hex(10)}",
                "customer_id": customer_id,
                "plan": plan.name,
                "terms": freeze(plan, currency),
                "starts_at": format_time(starts),
                "ends_at": None,
            },
        )
        return find_in(connection, customer_id)


def list_customers(database: Database) -> list[Customer]:
    """Every customer, by name."""
    with database.read() as connection:
        return customers_in(connection)


def customers_in(connection: Connection) -> list[Customer]:
    """As `list_customers`, within a transaction."""
    return _load(connection)


def find(database: Database, reference: str) -> Customer:
    """The customer with this id or name. Raises NotFoundError."""
    with database.read() as connection:
        return find_in(connection, reference)


def find_in(connection: Connection, reference: str) -> Customer:
    """As `find`, within a transaction."""
    table = schema.customers
    for column, value in ((table.c.id, reference), (table.c.name, _normal(reference))):
        found = _load(connection, column == value)
        if found:
            return found[0]
    raise NotFoundError(
        f"There is no customer {reference!r}.",
        hint="`freehold customer list` shows those there are.",
    )


def active(connection: Connection, customer_id: str, at: datetime) -> Subscription | None:
    """The subscription under which a customer may use the API at an instant, if there is one."""
    for subscription in subscriptions(connection, customer_id):
        if subscription.covers(at):
            return subscription
    return None


def subscriptions(connection: Connection, customer_id: str | None = None) -> list[Subscription]:
    """Every subscription (of one customer), by customer and start."""
    table = schema.subscriptions
    query = sa.select(table).order_by(table.c.customer_id, table.c.starts_at, table.c.id)
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    return [_subscription(row) for row in connection.execute(query)]


def _load(
    connection: Connection, condition: sa.ColumnElement[bool] | None = None
) -> list[Customer]:
    table = schema.customers
    # Ordered here and not by the database, whose order of texts depends on its locale.
    query = sa.select(table) if condition is None else sa.select(table).where(condition)
    rows = sorted(connection.execute(query), key=lambda row: (row.name, row.id))
    only = rows[0].id if condition is not None and rows else None
    taken: dict[str, list[Subscription]] = {}
    for subscription in subscriptions(connection, only):
        taken.setdefault(subscription.customer_id, []).append(subscription)
    return [
        Customer(row.id, row.name, parse_time(row.created_at), tuple(taken.get(row.id, ())))
        for row in rows
    ]


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(
        id=row.id,
        customer_id=row.customer_id,
        snapshot=thaw(row.terms),
        starts_at=parse_time(row.starts_at),
        ends_at=parse_time(row.ends_at) if row.ends_at else None,
    )


def _normal(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _clean(name: str) -> str:
    """One line without spaces at its ends, so that the same name is the same text."""
    cleaned = _normal(name)
    if not cleaned:
        raise InputError("The customer's name is empty.", hint='Give one, such as "North Bank".')
    if len(cleaned) > _LONGEST_NAME:
        raise InputError(
            f"The customer's name has {len(cleaned)} characters.",
            hint=f"Use at most {_LONGEST_NAME}.",
        )
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in cleaned):
        raise InputError("The customer's name holds a character that cannot be printed.")
    return cleaned
