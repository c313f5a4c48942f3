"""From a live version to its margin: customers and keys, the gate of the server, invoices, reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from freehold.app import App
from freehold.clock import Clock
from freehold.errors import NotFoundError
from freehold.meter import events
from freehold.serve.keys import KeyInfo, KeyRing, create_key, list_keys
from freehold.serve.ports import Caller, Outcome, Tally, Work
from freehold.store.database import Database

if TYPE_CHECKING:
    from freehold.bill.customers import Customer
    from freehold.bill.invoices import Invoice
    from freehold.bill.periods import Period
    from freehold.economics.margins import Report
    from freehold.serve.engine import Engine

__all__ = [
    "ProjectGate",
    "add_customer",
    "close_invoices",
    "margins",
    "open_engines",
    "reconciliation",
]


class ProjectGate:
    """The server's gate onto a project's database: who asks, and what was answered."""

    def __init__(self, database: Database, clock: Clock, server: str) -> None:
        self._database = database
        self._clock = clock
        self._server = server
        self._keys = KeyRing(database, clock=clock)

    def remembered(self, token: str) -> Caller | None:
        return self._keys.remembered(token)

    def authenticate(self, token: str) -> Caller:
        return self._keys.authenticate(token)

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return events.replay(self._database, caller.customer_id, key, digest)

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        return events.settle(self._database, works, tallies, server=self._server, clock=self._clock)

    def ping(self) -> None:
        self._database.ping()


def add_customer(
    app: App, name: str, plan: str, *, starts: datetime | None = None
) -> tuple[Customer, str]:
    """A customer on a plan of freehold.toml with a first API key, which is shown only here."""
    from freehold.bill import customers

    terms = app.project.plan(plan)
    customer = customers.add_customer(
        app.database, name, terms, app.clock, currency=app.project.currency, starts=starts
    )
    _, key = create_key(app.database, customer.id, app.clock)
    return customer, key


def add_key(app: App, reference: str) -> tuple[Customer, str, str]:
    """A further key of a customer, as (customer, key id, key)."""
    from freehold.bill.customers import find

    customer = find(app.database, reference)
    key_id, key = create_key(app.database, customer.id, app.clock)
    return customer, key_id, key


def keys_of(app: App, reference: str | None) -> list[tuple[KeyInfo, str]]:
    """Keys with their customers' names; all of them, or one customer's."""
    from freehold.bill.customers import find, list_customers

    only = find(app.database, reference).id if reference else None
    names = {customer.id: customer.name for customer in list_customers(app.database)}
    return [(key, names[key.customer_id]) for key in list_keys(app.database, only)]


def open_engines(app: App) -> dict[str, Engine]:
    """The engine of every live version by its model's name. Raises NotFoundError if none is live."""
    from freehold.serve.engine import Engine

    live = app.registry.live()
    if not live:
        raise NotFoundError(
            "No version is live.", hint="Run `freehold promote MODEL@N` for one that is exported."
        )
    threads = app.project.serve.threads or None
    return {
        version.model: Engine.open(app.registry.bundle_folder(version), threads=threads)
        for version in live
    }


def close_invoices(
    app: App,
    period: Period,
    *,
    customer: str | None = None,
    on_invoice: Callable[[Customer, Invoice | None], None] | None = None,
) -> list[Invoice]:
    """Close a period for one customer or all, and write each invoice as JSON and PDF."""
