"""Batches over a real server: lines in, results in their order, metered once, a line each."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import (
    SETTINGS,
    DatabaseGate,
    FakeEngine,
    batches_of,
    client,
    rows,
    serving,
    until,
)

from freehold.bill.customers import add_customer
from freehold.bill.reconcile import reconcile
from freehold.clock import SystemClock
from freehold.project import PlanTerms
from freehold.serve.keys import KeyRing, create_key
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database


def customer(database: Database, name: str = "ada") -> str:
    """A customer's key."""
    plan, clock = PlanTerms(name="free"), SystemClock()
    add_customer(database, name, plan, clock, currency="EUR", customer_id=name)
    return create_key(database, name, clock)[1]


def jsonl(*lines: Any) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def texts(count: int, *, word: str = "text") -> bytes:
    return jsonl(*({"id": f"a-{n}", "inputs": f"{word} number {n}"} for n in range(count)))


def submit(http: httpx.Client, body: bytes, **headers: str) -> dict[str, Any]:
    reply = http.post("/batches?model=bank", content=body, headers=headers)
    assert reply.status_code == 202, reply.text
    document: dict[str, Any] = reply.json()
    assert reply.headers["location"] == f"/batches/{document['id']}"
    return document


def status(http: httpx.Client, batch: dict[str, Any]) -> dict[str, Any]:
    reply = http.get(f"/batches/{batch['id']}")
    assert reply.status_code == 200, reply.text
    document: dict[str, Any] = reply.json()
    return document


def ended(http: httpx.Client, batch: dict[str, Any]) -> dict[str, Any]:
    until(lambda: status(http, batch)["status"] in ("done", "failed", "cancelled"))
    return status(http, batch)


def results(http: httpx.Client, batch: dict[str, Any], **query: int) -> list[dict[str, Any]]:
    reply = http.get(f"/batches/{batch['id']}/results", params=query)
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


@pytest.fixture
def key(database: Database) -> str:
    return customer(database)


@pytest.fixture
def gate(database: Database) -> DatabaseGate:
    return DatabaseGate(database, KeyRing(database))


@pytest.fixture
def server(database: Database, gate: DatabaseGate, tmp_path: Path) -> Iterator[ServerThread]:
    with serving(gate, batches=batches_of(database, tmp_path)) as running:
        yield running


def test_lines_are_answered_in_their_order_and_metered_once_each(
    database: Database, server: ServerThread, key: str
) -> None:
    with client(server, key) as http:
        batch = submit(http, texts(150))
        assert (batch["status"], batch["total"], batch["done"]) == ("queued", 150, 0)
        assert (batch["model"], batch["version"], batch["error"]) == ("bank", 1, None)
        done = ended(http, batch)
        assert (done["status"], done["done"], done["failed"]) == ("done", 150, 0)
        assert done["ended_at"] >= done["started_at"] >= done["created_at"]
        found = results(http, batch)
        assert [(line["id"], line["line"]) for line in found] == [
            (f"a-{n}", n + 1) for n in range(150)
        ]
        one = http.post("/models/bank", json={"inputs": "text number 77"})
        assert found[77]["output"] == one.json()
    events = rows(database, schema.usage_events)
    assert len(events) == 151
    assert {event.request_id for event in events} >= {f"{batch['id']}:{n + 1}" for n in range(150)}
    assert all(event.inputs == 1 and event.tokens == 5 for event in events)
    assert sum(event.compute_us for event in events) > 0
    books = reconcile(database, SystemClock())
    assert (books.difference, books.metered) == (0, 151)
    # What customers sent is kept no longer than it is needed.
    assert all(chunk.requests is None for chunk in rows(database, schema.batch_chunks))


def test_a_line_is_a_request_with_parameters_several_inputs_or_none_but_an_empty_text(
    server: ServerThread, key: str
) -> None:
    body = b"\xef\xbb\xbf\n" + jsonl(
        {"inputs": "a card", "parameters": {"top_k": 1}},
        {"id": None, "inputs": ["one", "two"], "options": {"use_cache": False}},
    )
    body += b"  \r\n" + b'{"inputs": ""}'
    with client(server, key) as http:
        batch = submit(http, body)
        assert batch["total"] == 3
        ended(http, batch)
        first, second, third = results(http, batch)
        assert (first["line"], second["line"], third["line"]) == (2, 3, 5)
        assert first["id"] is None
        assert len(first["output"][0]) == 1
        assert len(second["output"]) == 2
        assert len(third["output"][0]) == 4
        assert [line["line"] for line in results(http, batch, offset=1, limit=1)] == [3]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The file has no lines."),
        (b"\n \n", "The file has no lines."),
        (jsonl({"inputs": "a"}, {"inputs": 5}), "Line 2 of the file is not usable: inputs"),
        (
            b'{"inputs": "a"}\n{"inputs"\n[]\n',
            "Line 2 of the file is not usable: The body",
        ),
        (b'{"inputs": "a"}\n{"inputs"\n[]\n', "2 of its 3 lines are bad."),
        (jsonl({"input": "a"}), "Line 1 of the file is not usable"),
        (jsonl({"id": 7, "inputs": "a"}), "id is not a text of 1 to 128 characters."),
        (jsonl({"id": "", "inputs": "a"}), "id is not a text of 1 to 128 characters."),
        (b'{"inputs": "\xff"}', "UTF-8"),
    ],
)
def test_a_file_with_bad_lines_is_refused_whole(
    sqlite: Database, tmp_path: Path, body: bytes, said: str
) -> None:
    key, gate = customer(sqlite), DatabaseGate(sqlite, KeyRing(sqlite))
    with serving(gate, batches=batches_of(sqlite, tmp_path)) as server, client(server, key) as http:
        reply = http.post("/batches?model=bank", content=body)
        assert reply.status_code == 422
        assert said in reply.json()["error"]
        assert http.get("/batches").json() == {"batches": []}
    assert rows(sqlite, schema.usage_events) == []
    assert rows(sqlite, schema.batch_chunks) == []


def test_bounds_of_a_file(sqlite: Database, tmp_path: Path) -> None:
    key, gate = customer(sqlite), DatabaseGate(sqlite, KeyRing(sqlite))
    small = replace(SETTINGS, batch_max_bytes=1000, batch_max_lines=5, max_body_bytes=300)
    batches = batches_of(sqlite, tmp_path)
    with serving(gate, settings=small, batches=batches) as server, client(server, key) as http:

        def refused(content: Any, **headers: str) -> str:
            reply = http.post("/batches?model=bank", content=content, headers=headers)
            assert reply.status_code == 413
            error: str = reply.json()["error"]
            return error

        assert refused(texts(100)).startswith("The file is larger than 1,000 bytes.")
        parts = [texts(10)] * 10  # whose sum nobody has declared
        assert refused(iter(parts)).startswith("The file is larger than 1,000 bytes.")
        assert refused(texts(6)).startswith("The file has more than 5 lines.")
        long = jsonl({"inputs": "a"}, {"inputs": "b" * 300})
        assert refused(long).startswith("Line 2 is longer than 300 bytes.")
        ended(http, submit(http, texts(5)))
    assert not list((tmp_path / "incoming").iterdir())


def test_what_is_refused_of_a_request(server: ServerThread, key: str) -> None:
    line = texts(1)
    with client(server, key) as http:
        for path, headers, status, said in (
            ("/batches", {}, 422, "No model is named."),
            ("/batches?model=", {}, 422, "No model is named."),
            ("/batches?model=no", {}, 404, "There is no model 'no' here"),
            ("/batches?model=bank", {"Authorization": "x"}, 401, "The API key is missing."),
            ("/batches?model=bank", {"Idempotency-Key": "a b"}, 422, "The Idempotency-Key"),
            ("/batches?model=bank", {"Content-Encoding": "gzip"}, 422, "Compressed files"),
        ):
            reply = http.post(path, content=line, headers=headers)
            assert (reply.status_code, reply.json()["error"][: len(said)]) == (status, said)
        batch = submit(http, line)
        for path in ("results?offset=-1", "results?limit=x", "results?limit=1" + "0" * 20):
            assert http.get(f"/batches/{batch['id']}/{path}").status_code == 422
        for query in ("limit=0", "limit=101"):
            assert http.get(f"/batches?{query}").status_code == 422
        assert http.get("/batches?after=bat_no").status_code == 404


def test_a_key_makes_one_batch(database: Database, server: ServerThread, key: str) -> None:
    body = texts(3)
    with client(server, key) as http:
        first = http.post("/batches?model=bank", content=body, headers={"Idempotency-Key": "k"})
        ended(http, first.json())
        again = http.post("/batches?model=bank", content=body, headers={"Idempotency-Key": "k"})
        assert again.status_code == first.status_code == 202
        assert again.content == first.content
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert again.headers["location"] == first.headers["location"]
        for path, other in (("bank", texts(4)), ("bank@1", body)):
            reply = http.post(
                f"/batches?model={path}", content=other, headers={"Idempotency-Key": "k"}
            )
            assert reply.status_code == 409
        assert http.delete(first.headers["location"]).status_code == 204
        late = http.post("/batches?model=bank", content=body, headers={"Idempotency-Key": "k"})
        assert late.content == first.content
        others = customer(database, "bob")
        http.headers["Authorization"] = f"Bearer {others}"
        assert submit(http, body, **{"Idempotency-Key": "k"})["id"] != first.json()["id"]
    assert len(rows(database, schema.batches)) == 2


def test_a_key_sent_by_many_at_once_makes_one_batch(
    database: Database, server: ServerThread, key: str
) -> None:
    found: list[httpx.Response] = []

    def send() -> None:
        with client(server, key) as http:
            found.append(
                http.post(
                    "/batches?model=bank", content=texts(200), headers={"Idempotency-Key": "k"}
                )
            )

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {reply.status_code for reply in found} <= {202, 503}
    assert len({reply.content for reply in found if reply.status_code == 202}) == 1
    assert len(rows(database, schema.batches)) == 1


def test_a_batch_belongs_to_its_customer(
    database: Database, server: ServerThread, key: str
) -> None:
    with client(server, key) as http:
        mine = [submit(http, texts(n + 1)) for n in range(3)]
        for batch in mine:
            ended(http, batch)
        listed = [batch["id"] for batch in http.get("/batches").json()["batches"]]
        assert listed == [batch["id"] for batch in reversed(mine)]
        page = http.get("/batches", params={"limit": 1, "after": listed[0]}).json()["batches"]
        assert [batch["id"] for batch in page] == [listed[1]]
        http.headers["Authorization"] = f"Bearer {customer(database, 'bob')}"
        assert http.get("/batches").json() == {"batches": []}
        path = f"/batches/{listed[0]}"
        for method, rest in (
            ("GET", ""),
            ("GET", "/results"),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ):
            assert http.request(method, path + rest).status_code == 404
        assert http.get("/batches", params={"after": listed[0]}).status_code == 404
        del http.headers["Authorization"]
        assert http.get(path).status_code == 401


def test_a_line_that_fails_has_a_sentence_and_is_not_billed(
    database: Database, server: ServerThread, key: str
) -> None:
    body = jsonl(
        {"id": "good", "inputs": "one two"},
        {"id": "boom", "inputs": "boom"},
        {"id": "garble", "inputs": "garble"},
        {"id": "fine", "inputs": "three"},
    )
    with client(server, key) as http:
        batch = submit(http, body)
        done = ended(http, batch)
        assert (done["status"], done["done"], done["failed"]) == ("done", 2, 2)
        good, boom, garble, fine = results(http, batch)
        assert good["output"]
        assert fine["output"]
        for line, name in ((boom, "boom"), (garble, "garble")):
            assert line["id"] == name
            assert line["error"].startswith("The server failed to answer")
            assert "output" not in line
    assert {event.request_id for event in rows(database, schema.usage_events)} == {
        f"{batch['id']}:1",
        f"{batch['id']}:4",
    }
    assert reconcile(database, SystemClock()).difference == 0


def test_cancelling_ends_it_and_keeps_what_is_done(
    database: Database, gate: DatabaseGate, key: str, tmp_path: Path
) -> None:
    engine = FakeEngine(hold=threading.Event())
    with (
        serving(gate, engine, batches=batches_of(database, tmp_path)) as server,
        client(server, key) as http,
    ):
        first = submit(http, texts(200))
        waiting = submit(http, texts(10))
        until(lambda: engine.batches)
        assert status(http, first)["status"] == "running"
        assert http.delete(f"/batches/{first['id']}").status_code == 409
        for batch in (first, waiting):
            reply = http.post(f"/batches/{batch['id']}/cancel")
            assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")
            assert http.post(f"/batches/{batch['id']}/cancel").status_code == 409
        engine.hold.set()
        # The engine goes on with others, also of the same customer.
        assert ended(http, submit(http, texts(5)))["status"] == "done"
        left = status(http, first)
        assert left["status"] == "cancelled"
        assert len(results(http, first)) == left["done"] < 200
        assert http.delete(f"/batches/{first['id']}").status_code == 204
        assert http.get(f"/batches/{first['id']}").status_code == 404
    assert len(rows(database, schema.usage_events)) == left["done"] + 5
    assert all(chunk.requests is None for chunk in rows(database, schema.batch_chunks))
    assert reconcile(database, SystemClock()).difference == 0


def test_a_customer_has_so_many_open_batches_at_most(sqlite: Database, tmp_path: Path) -> None:
    gate, engine = DatabaseGate(sqlite, KeyRing(sqlite)), FakeEngine(hold=threading.Event())
    batches = batches_of(sqlite, tmp_path, most_open=2)
    with (
        serving(gate, engine, batches=batches) as server,
        client(server, customer(sqlite)) as http,
    ):
        first = submit(http, texts(1))
        submit(http, texts(1))
        reply = http.post("/batches?model=bank", content=texts(1))
        assert reply.status_code == 429
        assert reply.json()["error"].startswith("2 batches of yours are not over yet.")
        assert int(reply.headers["retry-after"]) > 0
        http.post(f"/batches/{first['id']}/cancel")
        submit(http, texts(1))
        engine.hold.set()


def test_nothing_is_taken_without_a_store(sqlite: Database) -> None:
    gate = DatabaseGate(sqlite, KeyRing(sqlite))
    with serving(gate) as server, client(server, customer(sqlite)) as http:
        reply = http.post("/batches?model=bank", content=texts(1))
        assert reply.status_code == 503
        assert reply.json()["error"].startswith("This server takes no batches.")
