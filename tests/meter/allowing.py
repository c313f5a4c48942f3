"""Customers with limits, and works that hold: what the tests of holds act on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import sqlalchemy as sa

from freehold.bill.customers import add_customer
from freehold.bill.wallets import top_up
from freehold.clock import Clock, ManualClock
from freehold.meter import events
from freehold.meter.dealer import Dealer
from freehold.project import PlanTerms
from freehold.serve.ports import Allowance, Caller, Hold, Outcome, Recorded, Tally, Work
from freehold.store import schema
from freehold.store.database import Database

WALLET = Allowance("ada:wallet:inputs", "ada", "wallet", "inputs", 0)
QUOTA = Allowance("ada:quota:inputs", "ada", "quota", "inputs", 10)
RATE = Allowance("ada:requests", "ada", "requests", "requests", 60)
TOKENS = Allowance("ada:tokens", "ada", "tokens", "tokens", 600)

_numbers = itertools.count()


def with_ada(database: Database, units: int = 0, clock: Clock | None = None) -> Database:
    """Ada has a prepaid plan, and so many units in her wallet."""
    clock = clock or ManualClock()
    plan = PlanTerms(name="ahead", prepaid=True)
    add_customer(database, "ada", plan, clock, currency="EUR", customer_id="ada")
    if units:
        top_up(database, "ada", units, clock, key="first")
    return database


def dealer(database: Database, clock: Clock, server: str = "s1") -> Dealer:
    """One without a thread: `now` stands in for it."""
    return Dealer(database, server, clock, thread=False)


def now(dealer: Dealer, *allowances: Allowance, inputs: int = 1, tokens: int = 0) -> Hold:
    """A hold, taken now. Raises what it is refused with."""
    found = dealer.hold(allowances, inputs, tokens)
    if isinstance(found, Future):
        dealer.round()
        return found.result(0)
    return found


def work(hold: Hold | None, inputs: int = 1, **given: Any) -> Work:
    return Work(
        **{
            "caller": Caller("ada", "key_1"),
            "request_id": f"h{next(_numbers)}",
            "idempotency_key": None,
            "payload_digest": "d",
            "model": "bank",
            "version": 1,
            "inputs": inputs,
            "tokens": 10 * inputs,
            "compute_us": 1,
            "body": b"answer",
            "hold": hold,
            **given,
        }
    )


def settle(
    database: Database, dealer: Dealer, works: Sequence[Work], clock: Clock, server: str = "s1"
) -> list[Outcome]:
    """As the gate does."""
    tallies = [Tally("bank", 1, 1, work.inputs, work.tokens, work.compute_us) for work in works]
    outcomes = events.settle(database, works, tallies, server=server, clock=clock)
    for one, outcome in zip(works, outcomes, strict=True):
        dealer.close_hold(one.hold, used=outcome.recorded is Recorded.METERED)
    return outcomes


def row(database: Database, allowance: Allowance, period: str = "") -> tuple[int, int, int]:
    """(granted, used, held)"""
    name = f"{allowance.id}:{period}" if period else allowance.id
    table = schema.allowances
    with database.read() as connection:
        found = connection.execute(sa.select(table).where(table.c.id == name)).one()
    return found.granted, found.used, found.held


def held_by(database: Database) -> dict[tuple[str, str], int]:
    with database.read() as connection:
        rows = connection.execute(sa.select(schema.holds))
        return {(row.server, row.allowance): row.units for row in rows if row.units}


def metered(database: Database) -> int:
    with database.read() as connection:
        total = connection.scalar(sa.select(sa.func.sum(schema.usage_events.c.inputs)))
    return int(total or 0)
