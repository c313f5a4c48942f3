"""From a live version to its margin: customers and keys, the gate of the server, invoices, reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from freehold.app import App
from freehold.clock import Clock
from freehold.errors import NotFoundError
from freehold.meter import events
from freehold.serve.keys import KeyRing, create_key
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
        self._keys = KeyRing(database, clock)

    def remembered(self, token: str) -> Caller | None:
        return self._keys.remembered(token)

    def authenticate(self, token: str) -> Caller:
        return self._keys.authenticate(token)

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return events.replay(self._database, caller.customer_id, key, digest)

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        return events.settle(
            self._database, works, tallies, server=self._server, clock=self._clock
        )

    def ping(self) -> None:
        self._database.ping()
