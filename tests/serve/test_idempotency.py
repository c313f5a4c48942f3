"""An Idempotency-Key is answered with the same bytes for ever and billed once."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from serving import (
    DatabaseGate,
    FakeEngine,
    FakeMeta,
    add_customer,
    client,
    connect,
    rows,
    serving,
    until,
)

from freehold.errors import StoreError
from freehold.serve.flights import Flight
from freehold.serve.keys import KeyRing
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database

BANK = "/models/bank"


def gate_of(database: Database) -> DatabaseGate:
    return DatabaseGate(database, KeyRing(database))


def ask(
    http: httpx.Client, key: str, text: str = "where is it", path: str = BANK
) -> httpx.Response:
    return http.post(path, json={"inputs": text}, headers={"Idempotency-Key": key})


def replayed(response: httpx.Response) -> bool:
    assert response.status_code == 200, response.text
    return response.headers.get("idempotency-replayed") == "true"


def events(database: Database) -> list[Any]:
    return rows(database, schema.usage_events)


def test_a_retry_is_answered_with_the_same_bytes_and_not_billed(database: Database) -> None:
    token = add_customer(database)
    with serving(gate_of(database)) as server, client(server, token) as http:
        first = ask(http, "order-1")
        again = ask(http, "order-1")
        assert not replayed(first)
        assert replayed(again)
        assert again.content == first.content
        assert again.headers["x-request-id"] != first.headers["x-request-id"]
        other = ask(http, "order-2")
        assert not replayed(other)
    assert len(events(database)) == 2


def test_a_retry_is_answered_for_ever(database: Database) -> None:
    """After a restart, by another version, and when the model is gone."""
    token = add_customer(database)
    with serving(gate_of(database)) as server, client(server, token) as http:
        first = ask(http, "order-1")
    newer = FakeEngine(FakeMeta(version=2, labels=("x", "y")))
    with serving(gate_of(database), newer) as server, client(server, token) as http:
        assert replayed(ask(http, "order-1"))
    assert newer.batches == []
    places = FakeEngine(FakeMeta(model="places"))
    with serving(gate_of(database), places) as server, client(server, token) as http:
        again = ask(http, "order-1")
        assert replayed(again)
        assert again.content == first.content
        assert ask(http, "order-2").status_code == 404
    assert len(events(database)) == 1


def test_another_payload_under_the_same_key_is_a_conflict(database: Database) -> None:
    token = add_customer(database)
    engines = FakeEngine(), FakeEngine(FakeMeta(model="news"))
    with serving(gate_of(database), *engines) as server, client(server, token) as http:
        assert not replayed(ask(http, "order-1"))
        for response in (ask(http, "order-1", "else"), ask(http, "order-1", path="/models/news")):
            assert response.status_code == 409
            assert "Idempotency-Key" in response.json()["error"]
        assert replayed(ask(http, "order-1"))
    assert len(events(database)) == 1


def test_a_failed_request_does_not_use_up_its_key(sqlite: Database) -> None:
    token = add_customer(sqlite)
    with serving(gate_of(sqlite)) as server, client(server, token) as http:
        headers = {"Idempotency-Key": "order-1"}
        assert http.post(BANK, content=b"{", headers=headers).status_code == 422
        assert http.post("/models/nope", json={"inputs": "a"}, headers=headers).status_code == 404
        assert ask(http, "order-1", "boom").status_code == 500
        assert not replayed(ask(http, "order-1"))
    assert len(events(sqlite)) == 1


def test_keys_of_two_customers_do_not_meet(sqlite: Database) -> None:
    ada, bob = add_customer(sqlite, "ada"), add_customer(sqlite, "bob")
    with serving(gate_of(sqlite)) as server:
        with client(server, ada) as http:
            assert not replayed(ask(http, "order-1"))
        with client(server, bob) as http:
            assert not replayed(ask(http, "order-1", "something else"))
    assert {event.customer_id for event in events(sqlite)} == {"ada", "bob"}


class Crowd:
    """Requests sent from threads of their own while the engine is held."""

    def __init__(self, server: ServerThread, token: str) -> None:
        self.server, self.token = server, token
        self.pool = ThreadPoolExecutor(8)

    def send(self, key: str, text: str = "where is it") -> Future[httpx.Response]:
        def post() -> httpx.Response:
            with client(self.server, self.token) as http:
                return ask(http, key, text)

        return self.pool.submit(post)


def joins_of_flights(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[str]:
    """An entry for each request that begins to wait for one with its key that is ahead of it.

    To wait it reads `landed`, and so does the one ahead once it has its answer.
    """
    joined: queue.Queue[str] = queue.Queue()

    def seen(flight: Flight, name: str) -> object:
        if name == "landed":
            joined.put(name)
        return object.__getattribute__(flight, name)

    monkeypatch.setattr(Flight, "__getattribute__", seen)
    return joined


@pytest.mark.parametrize("kind", ["answer", "failure"])
def test_duplicates_in_flight_share_what_becomes_of_the_first(
    sqlite: Database, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = add_customer(sqlite)
    gate, engine = gate_of(sqlite), FakeEngine(hold=threading.Event())
    assert engine.hold is not None
    if kind == "failure":

        def fail(*_: object) -> None:
            raise StoreError("The database is away.")

        monkeypatch.setattr(gate, "settle", fail)
    with serving(gate, engine) as server:
        crowd = Crowd(server, token)
        first = crowd.send("order-1")
        assert engine.running.acquire(timeout=20)
        joined = joins_of_flights(monkeypatch)
        others = [crowd.send("order-1") for _ in range(3)]
        # One that came after the first had failed would rightly begin anew, in a batch of its own.
        for _ in others:
            joined.get(timeout=20)
        conflict = crowd.send("order-1", "something else").result(20)
        assert conflict.status_code == 409
        assert "being used" in conflict.json()["error"]
        assert not any(other.done() for other in others)
        engine.hold.set()
        answers = [future.result(20) for future in (first, *others)]
        crowd.pool.shutdown()
    if kind == "failure":
        assert [answer.status_code for answer in answers] == [503] * 4
        assert all(answer.headers["retry-after"] for answer in answers)
        assert events(sqlite) == []
    else:
        assert len({answer.content for answer in answers}) == 1
        assert [replayed(answer) for answer in answers] == [False, True, True, True]
        assert len(events(sqlite)) == 1
    assert [len(batch) for batch in engine.batches] == [1]


def test_when_the_first_leaves_before_its_batch_the_next_takes_over(sqlite: Database) -> None:
    token = add_customer(sqlite)
    engine = FakeEngine(hold=threading.Event())
    assert engine.hold is not None
    with serving(gate_of(sqlite), engine) as server, client(server) as http:
        crowd = Crowd(server, token)
        busy = crowd.send("busy")
        assert engine.running.acquire(timeout=20)
        body = '{"inputs":"where is it"}'  # as httpx writes it
        first = connect(server)
        first.sendall(
            f"POST {BANK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            f"Idempotency-Key: order-1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        until(lambda: "freehold_queue_tokens 10.0" in http.get("/metrics").text)
        second = crowd.send("order-1")
        until(lambda: len(server._service.front._flights) == 2)
        first.close()
        until(lambda: 'status="499"} 1.0' in http.get("/metrics").text)
        until(lambda: "freehold_queue_tokens 10.0" in http.get("/metrics").text)
        engine.hold.set()
        assert not replayed(busy.result(20))
        assert not replayed(second.result(20))
        crowd.pool.shutdown()
    assert len(events(sqlite)) == 2


def test_two_servers_over_one_database_bill_once(database: Database, database_url: str) -> None:
    """Neither knows of the other's request until both settle: the first to commit is billed."""
    token = add_customer(database)
    hold = threading.Event()
    engines = FakeEngine(hold=hold), FakeEngine(hold=hold)
    with (
        Database.open(database_url) as theirs,
        serving(gate_of(database), engines[0]) as here,
        serving(gate_of(theirs), engines[1]) as there,
    ):
        futures = [Crowd(server, token).send("order-1") for server in (here, there)]
        for engine in engines:
            assert engine.running.acquire(timeout=20)
        hold.set()
        answers = [future.result(20) for future in futures]
    assert sorted(replayed(answer) for answer in answers) == [False, True]
    assert answers[0].content == answers[1].content
    assert len(events(database)) == 1
    assert sum(row.requests for row in rows(database, schema.served)) == 1
