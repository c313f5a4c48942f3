"""The HTTP front over a real socket: what a client does wrong gets its status and a sentence."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
import sqlalchemy as sa
from serving import (
    SETTINGS,
    DatabaseGate,
    FakeEngine,
    FakeMeta,
    FakeText,
    NoGate,
    add_customer,
    client,
    connect,
    rows,
    serving,
    until,
)

from freehold.clock import SystemClock
from freehold.errors import StoreError
from freehold.serve.keys import KeyRing, revoke_key
from freehold.serve.routes import Table
from freehold.store import schema
from freehold.store.database import Database

BANK = "/models/bank"


def sentence(response: httpx.Response, status: int) -> str:
    """The error's sentence, after checking what every error has."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert len(response.headers["x-request-id"]) == 32
    document = response.json()
    assert set(document) == {"error"}
    assert document["error"].endswith((".", "}.", ")"))
    assert "Traceback" not in document["error"]
    return str(document["error"])


@pytest.fixture
def open_client() -> Iterator[httpx.Client]:
    """A client of a server that lets everybody in and answers with the fake engine."""
    with serving(NoGate()) as server, client(server, "any") as http:
        yield http


def test_an_answer_and_its_event(database: Database) -> None:
    key = add_customer(database)
    gate = DatabaseGate(database, KeyRing(database))
    with serving(gate) as server, client(server, key) as http:
        response = http.post(BANK, json={"inputs": ["where is my card", "help"]})
        assert response.status_code == 200
        assert [len(row) for row in response.json()] == [4, 4]
        assert response.headers["content-type"] == "application/json"
        assert "idempotency-replayed" not in response.headers
        (event,) = rows(database, schema.usage_events)
        assert event.request_id == response.headers["x-request-id"]
        assert (event.customer_id, event.model, event.version) == ("cus_1", "bank", 1)
        assert (event.inputs, event.tokens) == (2, 9)
        assert event.compute_us >= 0
        (served,) = rows(database, schema.served)
        assert (served.requests, served.inputs, served.tokens) == (1, 2, 9)
        assert served.compute_us == event.compute_us
        by_version = http.post("/models/bank@1", json={"inputs": "help"})
        assert by_version.json() == response.json()[1:]


def test_who_may_not_ask(database: Database) -> None:
    key = add_customer(database)
    gate = DatabaseGate(database, KeyRing(database, ttl=0.0))
    with serving(gate) as server, client(server) as http:
        wrong = [None, "", "Bearer", f"Basic {key}", "Bearer fh_short", key]
        wrong.append("Bearer fh_" + "x" * 43)
        for authorization in wrong:
            headers = {} if authorization is None else {"Authorization": authorization}
            response = http.post(BANK, json={"inputs": "a"}, headers=headers)
            assert "key" in sentence(response, 401)
            assert response.headers["www-authenticate"] == "Bearer"
            assert key not in response.text
        right = {"Authorization": f"bearer {key}"}  # the scheme's case does not matter
        assert http.post(BANK, json={"inputs": "a"}, headers=right).status_code == 200
        revoke_key(database, key[:10], SystemClock())
        revoked = http.post(BANK, json={"inputs": "a"}, headers=right)
        assert "revoked" in sentence(revoked, 401)
        assert sentence(http.get("/models"), 401)
    assert len(rows(database, schema.usage_events)) == 1


def test_unknown_models_and_paths(open_client: httpx.Client) -> None:
    for path in ("/models/nope", "/models/bank@2", "/models/bank/", "/models/a/b", "/models/%00"):
        said = sentence(open_client.post(path, json={"inputs": "a"}), 404)
        assert "loaded: bank, bank@1" in said
    assert "/docs" in sentence(open_client.get("/nothing"), 404)
    assert "/docs" in sentence(open_client.post("/", json={}), 404)
    response = open_client.get(BANK)
    assert "POST only" in sentence(response, 405)
    assert response.headers["allow"] == "POST"
    assert sentence(open_client.delete("/models"), 405)


def test_bodies_that_are_too_long(open_client: httpx.Client) -> None:
    limit = SETTINGS.max_body_bytes
    long = b'{"inputs": "' + b"a" * limit + b'"}'
    assert "1,048,576 bytes" in sentence(open_client.post(BANK, content=long), 413)

    def chunks() -> Iterator[bytes]:
        for _ in range(10 * limit // 65536):
            yield b"a" * 65536

    assert sentence(open_client.post(BANK, content=chunks()), 413)
    # The connection was not spoiled, and a body of exactly the limit is taken.
    fits = b'{"inputs": "' + b"a" * (limit - 14) + b'"}'
    assert len(fits) == limit
    assert open_client.post(BANK, content=fits).status_code == 200


def test_a_refused_body_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.serve.protocol.LINGER_SECONDS", 0.05)
    with serving(NoGate()) as server, connect(server) as raw:
        head = "POST /models/bank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
        raw.sendall(f"{head}Content-Length: 99999999\r\n\r\nabc".encode())
        received = b""
        while part := raw.recv(65536):  # ends when the server cuts the connection
            received += part
        assert received.startswith(b"HTTP/1.1 413 ")
        assert b'{"error":' in received


def test_what_is_not_http(open_client: httpx.Client) -> None:
    with serving(NoGate()) as server, connect(server) as raw:
        raw.sendall(b"NONSENSE\r\n\r\n")
        received = b""
        while part := raw.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: " in head
    assert json.loads(body)["error"]


def test_inputs_that_are_not_usable(open_client: httpx.Client) -> None:
    assert "not JSON" in sentence(open_client.post(BANK, content=b"{"), 422)
    assert "UTF-8" in sentence(open_client.post(BANK, content=b'{"inputs": "\xff"}'), 422)
    assert "empty list" in sentence(open_client.post(BANK, json={"inputs": []}), 422)
    many = {"inputs": ["a"] * (SETTINGS.max_inputs + 1)}
    assert "takes 256" in sentence(open_client.post(BANK, json=many), 422)


@pytest.mark.parametrize("key", ["", "with space", "tab\there", "x" * 256, "\xe9"])
def test_idempotency_keys_that_are_none(open_client: httpx.Client, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    response = open_client.post(BANK, json={"inputs": "a"}, headers=headers)
    assert "Idempotency-Key" in sentence(response, 422)


def test_two_idempotency_keys_at_once(open_client: httpx.Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert sentence(open_client.post(BANK, json={"inputs": "a"}, headers=headers), 422)


def test_a_full_queue(open_client: httpx.Client) -> None:
    engine = FakeEngine(hold=threading.Event())
    gate, settings = NoGate(), replace(SETTINGS, queue_tokens=10)
    with serving(gate, engine, settings=settings) as server, client(server, "k") as http:
        answers: list[httpx.Response] = []

        def ask() -> None:
            with client(server, "k") as other:
                answers.append(other.post(BANK, json={"inputs": "one two three four"}))

        thread = threading.Thread(target=ask)
        thread.start()
        assert engine.running.acquire(timeout=20)
        full = http.post(BANK, json={"inputs": "one two three four"})
        assert "Too much is waiting" in sentence(full, 429)
        assert int(full.headers["retry-after"]) >= 1
        large = http.post(BANK, json={"inputs": ["one two three four"] * 2})
        assert "12 tokens" in sentence(large, 413)
        assert engine.hold is not None
        engine.hold.set()
        thread.join(20)
        assert answers[0].status_code == 200
        assert http.post(BANK, json={"inputs": "one two three four"}).status_code == 200
    assert len(gate.settled) == 2


def test_answers_that_cannot_be_recorded_do_not_leave() -> None:
    gate = NoGate(failure=StoreError("The database sits at postgresql://secret-host."))
    with serving(gate) as server, client(server, "k") as http:
        for headers in ({}, {"Idempotency-Key": "k"}):
            response = http.post(BANK, json={"inputs": "a"}, headers=headers)
            said = sentence(response, 503)
            assert "could not be recorded" in said
            assert "secret-host" not in said
            assert int(response.headers["retry-after"]) >= 1
        gate.failure = None
        assert http.post(BANK, json={"inputs": "a"}).status_code == 200
    assert len(gate.settled) == 1


def test_without_a_database_nobody_is_answered(sqlite: Database) -> None:
    key = add_customer(sqlite)
    gate = DatabaseGate(sqlite, KeyRing(sqlite, ttl=0.0))
    with serving(gate) as server, client(server, key) as http:
        assert http.get("/ready").json() == {"status": "ready"}
        with sqlite.write() as connection:
            for table in ("answers", "api_keys"):
                connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {table}_away"))
        response = http.post(BANK, json={"inputs": "a"})
        assert "database" in sentence(response, 503)
        assert response.headers["retry-after"]
        with sqlite.write() as connection:
            connection.execute(sa.text("ALTER TABLE api_keys_away RENAME TO api_keys"))
        keyed = http.post(BANK, json={"inputs": "a"}, headers={"Idempotency-Key": "k"})
        assert sentence(keyed, 503)
        assert http.post(BANK, json={"inputs": "a"}).status_code == 200
    assert len(rows(sqlite, schema.usage_events)) == 1


def test_an_engine_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    with serving(NoGate()) as server, client(server, "k") as http:
        response = http.post(BANK, json={"inputs": "boom"})
        assert "not the request's fault" in sentence(response, 500)
        assert http.post(BANK, json={"inputs": "fine"}).status_code == 200
    assert "batch of 1 inputs failed" in caplog.text


def test_a_gate_that_breaks(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(NoGate):
        def replay(self, *_: object) -> bytes | None:
            raise RuntimeError("a bug")

    with serving(Broken()) as server, client(server, "k") as http:
        keyed = http.post(BANK, json={"inputs": "a"}, headers={"Idempotency-Key": "k"})
        assert "a bug" not in sentence(keyed, 500)
        assert http.post(BANK, json={"inputs": "a"}).status_code == 200
    assert "failed" in caplog.text


def test_a_client_that_leaves_before_its_batch_is_not_billed() -> None:
    engine, gate, log = FakeEngine(hold=threading.Event()), NoGate(), io.StringIO()
    assert engine.hold is not None
    with serving(gate, engine, log=log) as server:
        first, second = connect(server), connect(server)
        for number, raw in enumerate((first, second)):
            body = json.dumps({"inputs": f"text {number}"})
            head = f"POST {BANK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
            raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            if number == 0:
                assert engine.running.acquire(timeout=20)
        with client(server) as http:
            until(lambda: "freehold_queue_tokens 8.0" in http.get("/metrics").text)
            second.close()  # it waits: withdrawn
            until(lambda: "freehold_queue_tokens 4.0" in http.get("/metrics").text)
            first.close()  # its batch has begun: billed
            engine.hold.set()
            until(lambda: "freehold_queue_tokens 0.0" in http.get("/metrics").text)
    assert [[text.text for text in batch] for batch in engine.batches] == [["text 0"]]
    assert len(gate.settled) == 1
    statuses = sorted(json.loads(line)["status"] for line in log.getvalue().splitlines())
    assert statuses == [200, 499]


def test_a_long_body_and_many_inputs_are_answered_in_order(open_client: httpx.Client) -> None:
    texts = [f"text number {number} " + "w " * (number % 40) for number in range(256)]
    engine = FakeEngine()
    expected = [engine.answer(t, r).label for t, r in _pairs(engine, texts)]
    answer = open_client.post(BANK, json={"inputs": texts}).json()
    assert [row[0]["label"] for row in answer] == expected


def _pairs(engine: FakeEngine, texts: list[str]) -> list[tuple[FakeText, int]]:
    encoded = engine.encode(texts)
    return list(zip(encoded, engine.run(encoded), strict=True))


def test_requests_sent_without_waiting_for_answers_are_answered_in_order() -> None:
    with serving(NoGate()) as server, connect(server) as raw:
        sent = b""
        for number in range(5):
            body = json.dumps({"inputs": ["a"] * (number + 1)}).encode()
            sent += b"POST /models/bank HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n"
            sent += b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        raw.sendall(sent)
        reader = raw.makefile("rb")
        for number in range(5):
            length = 0
            assert b" 200 " in reader.readline()
            while (line := reader.readline()) != b"\r\n":
                if line.startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            assert len(json.loads(reader.read(length))) == number + 1
        reader.close()


def test_what_operators_ask_for(open_client: httpx.Client) -> None:
    assert open_client.get("/health").json() == {"status": "alive"}
    assert open_client.get("/ready").json() == {"status": "ready"}
    (model,) = open_client.get("/models").json()["models"]
    assert (model["name"], model["version"], model["task"]) == ("bank", 1, "text-classification")
    assert model["max_length"] == 64
    open_client.post(BANK, json={"inputs": ["a b", "c"]})
    open_client.post("/models/made-up", json={"inputs": "a"})
    metrics = open_client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    for line in (
        'freehold_requests_total{model="bank",status="200"} 1.0',
        'freehold_requests_total{model="",status="404"} 1.0',
        'freehold_inputs_total{model="bank",version="1"} 2.0',
        'freehold_tokens_total{model="bank",version="1"} 7.0',
        "freehold_queue_tokens 0.0",
        "freehold_settled_requests_total 1.0",
        "freehold_batch_tokens_sum 8.0",
    ):
        assert line in metrics.text, line
    assert "made-up" not in metrics.text
    for path in ("/health", "/metrics", "/docs", "/openapi.json"):
        assert len(open_client.get(path).headers["x-request-id"]) == 32


def test_ready_needs_models_and_a_database() -> None:
    class Away(NoGate):
        def ping(self) -> None:
            raise StoreError("The database at postgresql://secret-host is away.")

    with serving(Away()) as server, client(server) as http:
        response = http.get("/ready")
        assert "database" in sentence(response, 503)
        assert "secret-host" not in response.text
        assert response.headers["retry-after"]
        assert http.get("/health").status_code == 200
    with serving(NoGate()) as server, client(server) as http:
        server._service.releases.table = Table.of({})
        assert "No model" in sentence(http.get("/ready"), 503)


def test_docs_need_no_network(open_client: httpx.Client) -> None:
    page = open_client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/models/{name}" in page.text
    assert "Idempotency-Key" in page.text
    for foreign in ("http://", "https://", "<script", "@import"):
        assert foreign not in page.text


def test_several_models_share_a_server(database: Database) -> None:
    key = add_customer(database)
    places = FakeEngine(FakeMeta(model="places", version=7, task="token-classification"))
    gate = DatabaseGate(database, KeyRing(database))
    with serving(gate, FakeEngine(), places) as server, client(server, key) as http:
        assert http.post(BANK, json={"inputs": "to Rome"}).json()[0][0]["label"]
        (entity,) = http.post("/models/places", json={"inputs": "to Rome"}).json()
        assert entity["word"] == "Rome"
    events = rows(database, schema.usage_events)
    assert {(event.model, event.version) for event in events} == {("bank", 1), ("places", 7)}


def test_logs_hold_neither_texts_nor_keys(sqlite: Database) -> None:
    key = add_customer(sqlite)
    log = io.StringIO()
    with (
        serving(DatabaseGate(sqlite, KeyRing(sqlite)), log=log) as server,
        client(server, key) as http,
    ):
        answered = http.post(
            BANK, json={"inputs": "my secret question"}, headers={"Idempotency-Key": "secret-1"}
        )
        http.post(BANK, json={"inputs": "a"}, headers={"Authorization": "Bearer fh_" + "s" * 43})
        http.post("/models/secret", json={"inputs": "a"})
    written = log.getvalue()
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["status"] for line in lines] == [200, 401, 404]
    first = lines[0]
    assert first["request"] == answered.headers["x-request-id"]
    assert (first["customer"], first["model"], first["version"]) == ("cus_1", "bank", 1)
    assert (first["inputs"], first["tokens"], first["replayed"]) == (1, 5, False)
    assert first["ms"] > 0
    for hidden in ("secret", key, key[3:12], "sss"):
        assert hidden not in written
