"""Who works on a batch, and what becomes of it when something is not there: money, model, database,
time."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from serving import DatabaseGate, FakeEngine, batches_of, client, rows, serving, until
from test_batches import customer, ended, results, status, submit, texts

from freehold.app.gate import ProjectGate
from freehold.bill.customers import add_customer
from freehold.bill.limits import set_limits
from freehold.bill.reconcile import reconcile
from freehold.bill.wallets import top_up, wallet_of
from freehold.clock import ManualClock, SystemClock
from freehold.errors import ForbiddenError, NotFoundError, StoreError
from freehold.meter.batches import Batches
from freehold.project import PlanTerms
from freehold.serve.batches import runner
from freehold.serve.batches.lines import divide
from freehold.serve.batches.ports import Answered, Batch, Chunk, Draft, Kept
from freehold.serve.keys import KeyRing, create_key
from freehold.serve.ports import Caller
from freehold.store import schema
from freehold.store.database import Database

LOADED = {("bank", 1)}


def draft(customer_id: str = "ada", *, key: str | None = None, lines: int = 2) -> Draft:
    return Draft(Caller(customer_id, "key_1"), "bank", 1, lines, key, "d" * 64)


def chunks() -> list[Chunk]:
    return [Chunk(0, 1, 1, b'{"inputs": "a"}\n'), Chunk(1, 2, 1, b'{"inputs": "b"}\n')]


def answered(chunk: Chunk) -> Answered:
    return Answered(chunk, None, None, [], [], b"{}\n" * chunk.lines, chunk.lines, 0, 0.1)


def test_two_servers_share_the_work(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_POLL", 0.05)
    one, two = (DatabaseGate(database, KeyRing(database), server=name) for name in ("one", "two"))
    keys = [customer(database, name) for name in ("ada", "bob", "eve")]
    held = FakeEngine(hold=threading.Event())
    with (
        serving(one, held, batches=batches_of(database, tmp_path, server="one")) as first,
        client(first) as http,
    ):
        made = []
        for key in keys:
            http.headers["Authorization"] = f"Bearer {key}"
            made += [(key, submit(http, texts(100))) for _ in range(2)]
        until(lambda: held.batches)
        with (
            serving(two, batches=batches_of(database, tmp_path, server="two")) as second,
            client(second) as other,
        ):
            until(lambda: rows(database, schema.served))  # by the one that is not held
            held.hold.set()
            for key, batch in made:
                other.headers["Authorization"] = f"Bearer {key}"
                ended(other, batch)
                assert [line["line"] for line in results(other, batch)] == list(range(1, 101))
    billed = Counter(event.customer_id for event in rows(database, schema.usage_events))
    assert billed == {"ada": 200, "bob": 200, "eve": 200}
    assert {row.server for row in rows(database, schema.served)} == {"one", "two"}
    assert reconcile(database, SystemClock()).difference == 0


@contextmanager
def limited(database: Database, folder: Path) -> Iterator[str]:
    """The URL of a server whose gate and batches are those of `freehold serve`."""
    gate = ProjectGate(database, SystemClock(), "srv")
    batches = batches_of(database, folder, server="srv", admit=gate.admitted, settled=gate.settled)
    with serving(gate, batches=batches) as server:
        yield server
    gate.close()


def test_a_wallet_pays_for_as_many_lines_as_it_holds_and_the_rest_waits(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PAUSE", 0.3)
    monkeypatch.setattr(runner, "_POLL", 0.1)
    clock = SystemClock()
    plan = PlanTerms(name="ahead", prepaid=True)
    add_customer(database, "ada", plan, clock, currency="EUR", customer_id="ada")
    top_up(database, "ada", 70, clock)
    key = create_key(database, "ada", clock)[1]
    with limited(database, tmp_path) as server, client(server, key) as http:
        batch = submit(http, texts(100))
        until(lambda: status(http, batch)["done"] == 70)
        until(lambda: "0 inputs are left" in (status(http, batch)["error"] or ""))
        assert len(results(http, batch)) == 70
        top_up(database, "ada", 29, clock)
        until(lambda: status(http, batch)["done"] == 99)
        top_up(database, "ada", 5, clock)
        assert ended(http, batch)["done"] == 100
        assert [line["line"] for line in results(http, batch)] == list(range(1, 101))
    wallet = wallet_of(database, "ada")
    assert (wallet.used, wallet.held, wallet.left) == (100, 0, 4)
    assert reconcile(database, clock).difference == 0


def test_lines_are_not_bounded_by_the_minute(sqlite: Database, tmp_path: Path) -> None:
    key = customer(sqlite)
    set_limits(sqlite, "ada", {"requests_per_minute": 3}, SystemClock())
    with limited(sqlite, tmp_path) as server, client(server, key) as http:
        assert ended(http, submit(http, texts(50)))["done"] == 50


def test_nobody_pays_then_it_waits(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "_PAUSE", 0.0)
    monkeypatch.setattr(runner, "_POLL", 0.02)
    pays = threading.Event()

    def admit(customer_id: str, key_id: str) -> Caller:
        if not pays.is_set():
            raise ForbiddenError("There is no running subscription.", hint="Ask.")
        return Caller(customer_id, key_id)

    gate, key = DatabaseGate(sqlite, KeyRing(sqlite)), customer(sqlite)
    batches = batches_of(sqlite, tmp_path, admit=admit)
    with serving(gate, batches=batches) as server, client(server, key) as http:
        batch = submit(http, texts(3))
        until(lambda: status(http, batch)["status"] == "paused")
        assert status(http, batch)["error"] in ("There is no running subscription. Ask.", None)
        pays.set()
        done = ended(http, batch)
        assert (done["status"], done["error"], done["done"]) == ("done", None, 3)


class Failing(Batches):
    """A database that fails: at every second record before its commit, or after it."""

    calls = 0

    def record(self, batch: Batch, answered: Answered) -> Kept:
        self.calls += 1
        if self.calls % 4 == 1:
            raise StoreError("The database is gone.")
        kept = super().record(batch, answered)
        if self.calls % 4 == 2:
            raise StoreError("The acknowledgement is lost.")
        return kept


def test_a_database_that_fails_is_tried_again_and_nothing_doubles(
    database: Database, tmp_path: Path
) -> None:
    gate, key = DatabaseGate(database, KeyRing(database)), customer(database)
    batches = batches_of(database, tmp_path)
    batches.__class__ = Failing
    with serving(gate, batches=batches) as server, client(server, key) as http:
        batch = submit(http, texts(200))
        assert ended(http, batch)["done"] == 200
        assert len(results(http, batch)) == 200
    assert len(rows(database, schema.usage_events)) == 200
    assert reconcile(database, SystemClock()).difference == 0


def test_a_stopping_server_lets_go_of_what_it_has_not_done(
    sqlite: Database, tmp_path: Path
) -> None:
    gate, key = DatabaseGate(sqlite, KeyRing(sqlite)), customer(sqlite)
    slow = FakeEngine(seconds_per_token=0.001)
    one, two = (batches_of(sqlite, tmp_path, server=name) for name in "ab")
    with serving(gate, slow, batches=one) as server, client(server, key) as http:
        batch = submit(http, texts(400))
        until(lambda: status(http, batch)["done"])
    (left,) = rows(sqlite, schema.batches)
    assert (left.status, left.owner) == ("queued", None)
    assert 0 < left.done < 400
    assert len(rows(sqlite, schema.usage_events)) == left.done
    with serving(gate, batches=two) as server, client(server, key) as http:
        assert ended(http, batch)["done"] == 400
    assert len(rows(sqlite, schema.usage_events)) == 400


def test_who_lost_the_lease_records_nothing(database: Database, tmp_path: Path) -> None:
    customer(database)
    clock = ManualClock()
    one, two = (batches_of(database, tmp_path, server=name, clock=clock) for name in "ab")
    made = one.add(draft(), chunks).batch
    held = one.claim(LOADED)
    assert held is not None
    assert (held.id, held.status) == (made.id, "running")
    assert two.claim(LOADED) is None
    assert one.claim({("other", 1)}) is None
    clock.advance(seconds=14)
    assert one.renew(held)
    clock.advance(seconds=14)
    assert two.claim(LOADED) is None
    clock.advance(seconds=2)
    taken = two.claim(LOADED)
    assert taken is not None
    first, second = two.chunks(taken, after=-1, limit=8)
    assert not one.renew(held)
    assert one.record(held, answered(first)) is Kept.LOST
    assert two.record(taken, answered(first)) is Kept.RECORDED
    assert two.record(taken, answered(first)) is Kept.RECORDED
    assert two.get("ada", made.id).done == 1
    assert two.chunks(taken, after=-1, limit=8) == [second]
    two.record(taken, answered(second))
    assert two.get("ada", made.id).status == "done"


def test_customers_take_turns(sqlite: Database, tmp_path: Path) -> None:
    for name in ("ada", "bob"):
        customer(sqlite, name)
    clock = ManualClock()
    store = batches_of(sqlite, tmp_path, clock=clock)
    order = []
    for name in ("ada", "ada", "ada", "bob"):
        store.add(draft(name), chunks)
        clock.advance(seconds=1)
    for _ in range(4):
        batch = store.claim(LOADED)
        assert batch is not None
        order.append(batch.customer_id)
        clock.advance(seconds=1)
        store.yield_turn(batch)
        clock.advance(seconds=1)
    assert order == ["ada", "bob", "ada", "bob"]
    assert store.waiting(LOADED)


def test_a_pause_lasts(sqlite: Database, tmp_path: Path) -> None:
    customer(sqlite)
    clock = ManualClock()
    store = batches_of(sqlite, tmp_path, clock=clock)
    made = store.add(draft(), chunks).batch
    batch = store.claim(LOADED)
    assert batch is not None
    store.yield_turn(batch, reason="No money.", seconds=60)
    assert (store.get("ada", made.id).status, store.get("ada", made.id).reason) == (
        "paused",
        "No money.",
    )
    clock.advance(seconds=59)
    assert store.claim(LOADED) is None
    clock.advance(days=-1)  # a clock that is set back must not keep it waiting for a day
    assert store.claim(LOADED) is not None


def test_a_version_that_nobody_has_loaded_is_waited_for_until_it_has_been_too_long(
    sqlite: Database, tmp_path: Path
) -> None:
    customer(sqlite)
    clock = ManualClock()
    with_it, without = (batches_of(sqlite, tmp_path, server=name, clock=clock) for name in "ab")
    made = with_it.add(draft(), chunks).batch
    for _ in range(4):  # a server that has it, though busy, says so
        clock.advance(seconds=30)
        with_it.tidy(LOADED)
        without.tidy(set())
    assert with_it.get("ada", made.id).status == "queued"
    clock.advance(seconds=61)
    without.tidy(set())
    stands = with_it.get("ada", made.id)
    assert stands.status == "paused"
    assert stands.reason == "No server has bank@1 loaded; it goes on when one does."
    clock.advance(days=7, seconds=1)
    without.tidy(set())
    stands = with_it.get("ada", made.id)
    assert stands.status == "failed"
    assert str(stands.reason).startswith("It did not go on for 7 days. No server has bank@1")
    assert all(row.requests is None for row in rows(sqlite, schema.batch_chunks))


def test_results_expire(sqlite: Database, tmp_path: Path) -> None:
    customer(sqlite)
    clock = ManualClock()
    store = batches_of(sqlite, tmp_path, clock=clock)
    made = store.add(draft(key="k"), chunks).batch
    batch = store.claim(LOADED)
    assert batch is not None
    for chunk in store.chunks(batch, after=-1, limit=8):
        store.record(batch, answered(chunk))
    expires = store.get("ada", made.id).expires_at
    assert expires == clock.now() + timedelta(days=7)
    clock.advance(days=7)
    store.tidy(LOADED)
    assert store.get("ada", made.id).done == 2
    clock.advance(seconds=1)
    store.tidy(LOADED)
    with pytest.raises(NotFoundError):
        store.get("ada", made.id)
    assert rows(sqlite, schema.batch_chunks) == []
    # Its key still makes no second one, which would be billed again.
    assert not store.add(draft(key="k"), chunks).new


def test_what_was_never_received_whole_is_forgotten(database: Database, tmp_path: Path) -> None:
    customer(database)
    clock = ManualClock()
    store = batches_of(database, tmp_path, clock=clock)

    def broken() -> Iterator[Chunk]:
        yield from chunks()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(draft(key="k"), broken)
    assert store.list("ada", limit=5, after=None) == []
    store.tidy(LOADED)
    assert len(rows(database, schema.batches)) == 1
    clock.advance(seconds=16)
    store.tidy(LOADED)
    assert rows(database, schema.batches) == rows(database, schema.batch_chunks) == []
    assert store.add(draft(key="k"), chunks).new


def test_a_chunk_is_divided_at_a_line() -> None:
    sent = b'\n{"inputs": "a"}\n\n{"inputs": "b"}\n{"inputs": "c"}\n'
    front, rest = divide(Chunk(10, 5, 3, sent), 1)
    assert (front.first, front.line, front.lines) == (10, 5, 1)
    assert (rest.first, rest.line, rest.lines) == (11, 7, 2)
    assert front.requests + rest.requests == sent
    assert replace(rest, requests=b"") == Chunk(11, 7, 2, b"")
