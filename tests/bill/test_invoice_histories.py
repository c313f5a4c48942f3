"""Whole months of invoices: on both databases, closed at once by many, closed at any moments."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from venture import FREE, GROWTH, ISSUER, PLAIN, STARTER, Venture, time

from freehold.bill.customers import find
from freehold.bill.invoices import close_all, list_invoices
from freehold.bill.periods import parse_period
from freehold.bill.rating import rate_fee, rate_usage
from freehold.clock import ManualClock
from freehold.money import round_money
from freehold.project import PlanTerms
from freehold.store import schema
from freehold.store.database import Database


def history(database: Database) -> list[str]:
    """The documents of a venture's month: three customers, interim, late and final invoices."""
    venture = Venture(database, issuer=ISSUER)
    venture.add("a", plan=STARTER)
    venture.add("B", plan=GROWTH, starts="2026-11-07T15:00")
    venture.add("北", plan=replace(FREE, price=Decimal("0.000333333333")), currency="JPY")
    for day in range(8, 20):
        for number, name in enumerate(("a", "B", "北")):
            venture.use(day * 3 + number, f"2026-11-{day:02}T0{number}:30", customer=f"cus_{name}")
        if day in (9, 15):
            close_all(database, parse_period("2026-11"), venture.clock, venture.issuer)
    venture.clock.at = time("2026-12-01")
    close_all(database, parse_period("2026-11"), venture.clock, venture.issuer)
    return [invoice.text for invoice in list_invoices(database)]


@pytest.mark.postgres
def test_the_same_events_give_the_same_bytes_on_both_databases(
    database: Database, tmp_path: Path
) -> None:
    with Database.open_file(tmp_path / "reference.db") as reference:
        expected = history(reference)
    assert len(expected) == 9
    assert history(database) == expected


def test_closing_at_the_same_time_bills_everything_once(venture: Venture) -> None:
    """Eight closers and a meter at once: no unit twice, none lost, no gap in the numbers."""
    for name in ("a", "b"):
        venture.add(name, plan=replace(STARTER, included=0))
    failures: list[BaseException] = []

    def closer() -> None:
        try:
            for _ in range(3):
                close_all(venture.database, parse_period("2026-11"), venture.clock, PLAIN)
        except BaseException as error:
            failures.append(error)

    def meter() -> None:
        try:
            for number in range(20):
                venture.use(1, customer=f"cus_{'ab'[number % 2]}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=closer) for _ in range(4)]
    threads.append(threading.Thread(target=meter))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    close_all(venture.database, parse_period("2026-11"), venture.clock, PLAIN)
    found = list_invoices(venture.database)
    assert [i.number for i in found] == [f"INV-2026-{n:06d}" for n in range(1, len(found) + 1)]
    for name in ("a", "b"):
        own = [i for i in found if i.customer_id == f"cus_{name}"]
        assert [i.sequence for i in own] == list(range(1, len(own) + 1))
        assert sum(i.units for i in own) == 10
        assert sum(i.net_minor for i in own) == 1913  # 10 × 0.0125 = 0.125, half up


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(st.integers(1, 400), st.booleans()), min_size=1, max_size=8),
    st.sampled_from([STARTER, GROWTH, FREE, PlanTerms(name="x", price=Decimal("0.004999"))]),
)
def test_however_often_it_is_closed_the_sum_is_the_same(
    sqlite: Database, steps: list[tuple[int, bool]], plan: PlanTerms
) -> None:
    venture = Venture(sqlite, ManualClock(time("2026-11-20T12:00")))
    venture._numbers = iter(range(len(venture.rows(schema.usage_events.select())), 10**9))
    name = f"c{len(venture.rows(schema.customers.select()))}"
    venture.add(name, plan=plan)
    for inputs, closing in steps:
        venture.use(inputs, customer=f"cus_{name}")
        if closing:
            venture.close(name)
    venture.bill(name)
    quantity = sum(inputs for inputs, _ in steps) * (10 if plan.unit == "tokens" else 1)
    expected = sum(
        round_money(line.amount, "EUR").minor
        for line in (*rate_fee(plan, 30, 30), *rate_usage(plan, quantity))
    )
    own = list_invoices(sqlite, customer_id=find(sqlite, name).id)
    assert sum(invoice.net_minor for invoice in own) == expected
    assert sum(invoice.units for invoice in own) == sum(inputs for inputs, _ in steps)
    assert all(invoice.net_minor >= 0 for invoice in own)
