"""Events are recorded once, whatever is repeated, contradicted, refused or done at one time."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.clock import ManualClock, SystemClock
from freehold.errors import ConflictError, StoreError
from freehold.meter.events import (
    ServedRow,
    UsageRow,
    UsageTotals,
    replay,
    served_rows,
    settle,
    usage,
    usage_by_customer,
    usage_rows,
)
from freehold.serve.ports import Caller, Outcome, Recorded, Tally, Work
from freehold.store import schema
from freehold.store.database import Database

_numbers = itertools.count()


@pytest.fixture
def book(database: Database) -> Database:
    return with_customers(database)


def with_customers(database: Database) -> Database:
    with database.write() as connection:
        connection.execute(
            schema.customers.insert(),
            [{"id": name, "name": name, "created_at": "2026-01-01"} for name in ("ada", "bob")],
        )
    return database


def work(key: str | None = None, **given: Any) -> Work:
    number = next(_numbers)
    return Work(
        **{
            "caller": Caller(given.pop("customer", "ada"), "key_1"),
            "request_id": f"r{number}",
            "idempotency_key": key,
            "payload_digest": "d1",
            "model": "bank",
            "version": 1,
            "inputs": 2,
            "tokens": 20,
            "compute_us": 300,
            "body": f"answer {number}".encode(),
            **given,
        }
    )


def tallied(works: Sequence[Work]) -> list[Tally]:
    """What a server that counts rightly would have counted."""
    found: dict[tuple[str, int], Tally] = {}
    for one in works:
        place = (one.model, one.version)
        before = found.get(place, Tally(*place, 0, 0, 0, 0))
        found[place] = before.plus(1, one.inputs, one.tokens, one.compute_us)
    return list(found.values())


def record(database: Database, *works: Work) -> list[Outcome]:
    return settle(database, works, tallied(works), server="s1", clock=SystemClock())


def counts(database: Database) -> tuple[int, int, int]:
    tables = (schema.usage_events, schema.answers, schema.served)
    with database.read() as connection:
        found = [connection.scalar(sa.select(sa.func.count()).select_from(t)) for t in tables]
    return found[0] or 0, found[1] or 0, found[2] or 0


def reconciled(database: Database) -> bool:
    with database.read() as connection:
        metered: dict[tuple[str, int], list[int]] = {}
        for row in usage(connection):
            sums = metered.setdefault((row.model, row.version), [0, 0, 0, 0])
            for place, figure in enumerate((row.requests, row.inputs, row.tokens, row.compute_us)):
                sums[place] += figure
        served = {
            (row.model, row.version): [row.requests, row.inputs, row.tokens, row.compute_us]
            for row in served_rows(connection)
        }
    return metered == served


def test_works_are_metered_with_all_their_figures(book: Database) -> None:
    first, second = work(), work("k", model="news", version=3, customer="bob")
    outcomes = record(book, first, second)
    assert [outcome.recorded for outcome in outcomes] == [Recorded.METERED] * 2
    assert [outcome.body for outcome in outcomes] == [first.body, second.body]
    with book.read() as connection:
        events = connection.execute(
            sa.select(schema.usage_events).order_by(schema.usage_events.c.request_id)
        ).all()
        assert [event.request_id for event in events] == sorted(
            (first.request_id, second.request_id)
        )
        assert {event.key_id for event in events} == {"key_1"}
        assert usage_rows(connection) == [
            UsageRow("ada", "bank", 1, 1, 2, 20, 300),
            UsageRow("bob", "news", 3, 1, 2, 20, 300),
        ]
        assert served_rows(connection) == [
            ServedRow("bank", 1, 1, 2, 20, 300),
            ServedRow("news", 3, 1, 2, 20, 300),
        ]
    assert counts(book) == (2, 1, 2)


def test_nothing_to_record_writes_nothing(book: Database) -> None:
    assert record(book) == []
    assert counts(book) == (0, 0, 0)


def test_a_retry_gets_the_first_answer_and_is_not_metered(book: Database) -> None:
    first, again = work("k"), work("k")
    record(book, first)
    (outcome,) = record(book, again)
    assert outcome.recorded is Recorded.REPLAYED
    assert outcome.body == first.body
    assert outcome.request_id == again.request_id
    assert counts(book) == (1, 1, 1)
    assert reconciled(book)


def test_the_same_key_with_another_payload_is_a_conflict(book: Database) -> None:
    record(book, work("k"))
    (outcome,) = record(book, work("k", payload_digest="d2"))
    assert outcome.recorded is Recorded.CONFLICT
    assert outcome.body == b""
    assert counts(book) == (1, 1, 1)
    assert reconciled(book)


def test_a_key_belongs_to_its_customer(book: Database) -> None:
    record(book, work("k"))
    (outcome,) = record(book, work("k", customer="bob", payload_digest="d2"))
    assert outcome.recorded is Recorded.METERED


def test_twice_the_same_key_in_one_call(book: Database) -> None:
    first, second, other = work("k"), work("k"), work("k", payload_digest="d2")
    outcomes = record(book, first, second, work(), other)
    assert [outcome.recorded for outcome in outcomes] == [
        Recorded.METERED,
        Recorded.REPLAYED,
        Recorded.METERED,
        Recorded.CONFLICT,
    ]
    assert outcomes[1].body == first.body
    assert counts(book) == (2, 1, 1)
    assert reconciled(book)


def test_recording_the_same_works_again_changes_nothing(book: Database) -> None:
    """As after a commit whose acknowledgement was lost."""
    works = [work("k"), work()]
    before = record(book, *works)
    again = record(book, *works)
    assert [outcome.body for outcome in again] == [outcome.body for outcome in before]
    assert {outcome.recorded for outcome in again} == {Recorded.REPLAYED}
    assert counts(book) == (2, 1, 1)
    assert reconciled(book)


@pytest.mark.parametrize("key", ["k", None])
def test_a_request_that_two_servers_had_is_metered_once(book: Database, key: str | None) -> None:
    """A proxy gives a request to another server when it does not hear from the first."""
    first = work(key)
    again = replace(first, body=b"as good an answer", compute_us=900)
    record(book, first)
    (outcome,) = record(book, again)
    assert outcome.recorded is Recorded.REPLAYED
    assert outcome.body == (first.body if key else again.body)
    assert counts(book) == (1, 1 if key else 0, 1)
    assert reconciled(book)


def test_a_request_that_one_server_had_twice_is_metered_once(book: Database) -> None:
    first, other = work(), work()
    again = replace(first, compute_us=900)
    outcomes = record(book, first, other, again)
    assert [outcome.recorded for outcome in outcomes] == [
        Recorded.METERED,
        Recorded.METERED,
        Recorded.REPLAYED,
    ]
    assert counts(book) == (2, 0, 1)
    assert reconciled(book)


def test_all_or_nothing(book: Database) -> None:
    with pytest.raises(StoreError):
        record(book, work("k"), work(customer="nobody"))
    assert counts(book) == (0, 0, 0)
    with book.read() as connection:
        assert usage(connection) == []


def test_a_server_that_counts_wrongly_is_seen(book: Database) -> None:
    one = work()
    settle(book, [one], [Tally("bank", 1, 1, 3, 20, 300)], server="s1", clock=SystemClock())
    assert not reconciled(book)


def test_replay(book: Database) -> None:
    one = work("k")
    assert replay(book, "ada", "k", "d1") is None
    record(book, one)
    assert replay(book, "ada", "k", "d1") == one.body
    assert replay(book, "bob", "k", "d1") is None
    with pytest.raises(ConflictError):
        replay(book, "ada", "k", "d2")


def test_periods_are_half_open(book: Database) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    clock = ManualClock(start - timedelta(microseconds=1))
    for _ in range(3):  # just before, at the start, a second later
        settle(book, [work()], [Tally("bank", 1, 1, 2, 20, 300)], server="s", clock=clock)
        clock.at = start if clock.at < start else start + timedelta(seconds=1)
    with book.read() as connection:
        second = start + timedelta(seconds=1)
        assert usage_by_customer(connection, "ada", start, second).requests == 1
        assert usage_by_customer(connection, "ada", start).requests == 2
        assert usage_by_customer(connection, "ada", end=start).requests == 1
        assert usage_by_customer(connection, "ada") == UsageTotals(3, 6, 60, 900)
        assert usage_by_customer(connection, "bob") == UsageTotals(0, 0, 0, 0)
        assert [row.requests for row in served_rows(connection, start, second)] == [1]
        assert [row.inputs for row in usage_rows(connection, start, second)] == [2]
        assert usage(connection, customer_id="bob") == []


def test_two_settlers_with_the_same_keys(book: Database, database_url: str) -> None:
    """Each key is metered once and both get the same bytes, in whatever order they come."""
    keys = [f"k{number}" for number in range(12)]
    barrier = threading.Barrier(3)
    bodies: dict[str, set[bytes]] = {key: set() for key in keys}
    kinds: Counter[Recorded] = Counter()
    failures: list[BaseException] = []

    def settler(order: list[str]) -> None:
        try:
            with Database.open(database_url) as mine:
                barrier.wait(10)
                for at in range(0, len(order), 4):
                    works = [work(key) for key in order[at : at + 4]]
                    for one, outcome in zip(works, record(mine, *works), strict=True):
                        kinds[outcome.recorded] += 1
                        bodies[one.idempotency_key or ""].add(outcome.body)
        except BaseException as error:
            failures.append(error)

    orders = [keys, keys[::-1], keys[6:] + keys[:6]]
    threads = [threading.Thread(target=settler, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert kinds == {Recorded.METERED: len(keys), Recorded.REPLAYED: 2 * len(keys)}
    assert all(len(found) == 1 for found in bodies.values())
    assert counts(book)[:2] == (len(keys), len(keys))
    assert reconciled(book)


calls = st.lists(
    st.lists(
        st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from(["d1", "d2"])), max_size=5
    ),
    max_size=5,
)


@given(calls)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_sequence_of_calls_meters_each_key_once(
    tmp_path: Path, plan: list[list[tuple[str | None, str]]]
) -> None:
    with Database.open_file(tmp_path / f"{next(_numbers)}.db") as database:
        with_customers(database)
        owners: dict[str, tuple[str, bytes]] = {}
        metered = 0
        for call in plan:
            works = [work(key, payload_digest=digest) for key, digest in call]
            for one, outcome in zip(works, record(database, *works), strict=True):
                key = one.idempotency_key
                owner = owners.setdefault(key, (one.payload_digest, one.body)) if key else None
                if owner is None or owner[1] == one.body:
                    assert (outcome.recorded, outcome.body) == (Recorded.METERED, one.body)
                    metered += 1
                elif owner[0] == one.payload_digest:
                    assert (outcome.recorded, outcome.body) == (Recorded.REPLAYED, owner[1])
                else:
                    assert outcome.recorded is Recorded.CONFLICT
        assert counts(database)[:2] == (metered, len(owners))
        assert reconciled(database)
