"""Clients that dawdle, send half, never read, or are too many: told and cut off, others go on."""

from __future__ import annotations

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest
from serving import SETTINGS, FakeEngine, NoGate, client, connect, serving, until

from freehold.project import Serve
from freehold.serve.server import ServerThread

BANK = "/models/bank"
HEAD = f"POST {BANK} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n".encode()
GOOD = HEAD + b'Content-Length: 15\r\n\r\n{"inputs": "a"}'


def rest(raw: socket.socket) -> bytes:
    """What comes until the server cuts the connection."""
    received = b""
    while part := raw.recv(65536):
        received += part
    return received


def refusal(raw: socket.socket) -> tuple[int, str]:
    """The status and sentence of an answer after which the server cuts the connection."""
    head, _, body = rest(raw).partition(b"\r\n\r\n")
    assert b"x-request-id: " in head
    assert b"connection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]


def test_what_does_not_arrive_in_time_is_cut_off() -> None:
    gate = NoGate()
    with serving(gate, settings=replace(SETTINGS, receive_seconds=1)) as server:
        head, body, blank, silent, second = (connect(server) for _ in range(5))
        head.sendall(HEAD + b"X-Half: ")
        body.sendall(HEAD + b'Content-Length: 15\r\n\r\n{"inputs"')
        blank.sendall(b"\r\n")
        second.sendall(GOOD)
        assert second.recv(65536).startswith(b"HTTP/1.1 200 ")
        second.sendall(HEAD)
        assert refusal(head) == (408, "The request did not arrive whole in time.")
        assert refusal(body) == (408, "The request did not arrive whole in time.")
        assert refusal(second) == (408, "The request did not arrive whole in time.")
        # Who has asked for nothing is told nothing.
        assert rest(blank) == b""
        assert rest(silent) == b""
        with client(server, "k") as http:
            assert http.post(BANK, json={"inputs": "a"}).status_code == 200
            assert 'status="499"} 1.0' in http.get("/metrics").text
        for raw in (head, body, blank, silent, second):
            raw.close()
    assert len(gate.settled) == 2


def test_who_waits_for_a_slow_answer_is_not_cut_off() -> None:
    engine = FakeEngine(hold=threading.Event())
    assert engine.hold is not None
    with serving(NoGate(), engine, settings=replace(SETTINGS, receive_seconds=0)) as server:
        waits, half = connect(server), connect(server)
        waits.sendall(GOOD)
        assert engine.running.acquire(timeout=20)
        half.sendall(HEAD)
        assert refusal(half)[0] == 408  # so the check has come by
        engine.hold.set()
        assert waits.recv(65536).startswith(b"HTTP/1.1 200 ")
        waits.close()
        half.close()


def test_who_does_not_read_is_cut_off() -> None:
    settings = replace(SETTINGS, receive_seconds=1, max_inputs=20_000)
    with serving(NoGate(), settings=settings) as server:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(server._listener.getsockname()[:2])
        body = json.dumps({"inputs": ["a"] * 20_000}).encode()
        for _ in range(4):  # megabytes of answers
            raw.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        until(lambda: len(server._server.server_state.connections) == 1)
        until(lambda: not server._server.server_state.connections)
        raw.close()


@pytest.mark.parametrize(
    "more", [b"X-Long: " + b"a" * 70_000, b"A: b\r\n" * 101 + b"\r\n", b"Z" * 70_000]
)
def test_heads_that_are_too_long(more: bytes) -> None:
    with serving(NoGate()) as server, connect(server) as raw:
        raw.sendall(HEAD)
        until(lambda: any(one._in_head for one in server._server.server_state.connections))
        raw.sendall(more)
        assert refusal(raw) == (431, "The request's headers are too many or too long.")


def test_too_many_connections() -> None:
    with serving(NoGate(), settings=replace(SETTINGS, max_connections=2)) as server:
        one, two = connect(server), connect(server)
        for raw in (one, two):
            raw.sendall(GOOD)
            assert raw.recv(65536).startswith(b"HTTP/1.1 200 ")
        with connect(server) as three:
            assert refusal(three) == (503, "There are too many connections. Try again.")
        one.close()
        until(lambda: len(server._server.server_state.connections) == 1)
        with connect(server) as four:
            four.sendall(GOOD)
            assert four.recv(65536).startswith(b"HTTP/1.1 200 ")
        two.close()


def test_bodies_wait_in_bounded_memory() -> None:
    """What is let in is counted by what it says it will send, before any of it has come."""
    settings = replace(SETTINGS, max_body_bytes=1000, queue_bytes=1500)
    with serving(NoGate(), settings=settings) as server, client(server, "k") as http:
        half = connect(server)
        half.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")

        def long() -> httpx.Response:
            return http.post(BANK, content=b'{"inputs": "' + b"a" * 600 + b'"}')

        until(lambda: long().status_code == 429)
        refused = long()
        assert "Too many long requests" in refused.json()["error"]
        assert refused.headers["retry-after"] == "1"

        def chunks() -> object:
            yield b'{"inputs": "a"}'

        # Of unknown length, it could be as long as any.
        assert http.post(BANK, content=chunks()).status_code == 429
        assert http.post(BANK, json={"inputs": "a"}).status_code == 200
        half.close()
        until(lambda: long().status_code == 200)
        assert http.post(BANK, content=chunks()).status_code == 200
        assert server._service.front._bytes == 0


def asked(
    server: ServerThread, timeout: str | None, key: str | None = None, text: str = "waiting"
) -> httpx.Response:
    headers = {"X-Timeout-Ms": timeout} if timeout is not None else {}
    if key is not None:
        headers["Idempotency-Key"] = key
    with client(server, "k") as http:
        return http.post(BANK, json={"inputs": text}, headers=headers)


def test_what_has_not_begun_in_its_time_is_not_answered_and_not_billed() -> None:
    engine, gate = FakeEngine(hold=threading.Event()), NoGate()
    assert engine.hold is not None
    with serving(gate, engine) as server, ThreadPoolExecutor(4) as pool:
        begun = pool.submit(asked, server, "20000", text="begun")
        assert engine.running.acquire(timeout=20)
        late = asked(server, "20")
        assert late.status_code == 504
        assert "X-Timeout-Ms" in late.json()["error"]
        # The same request again, which has more time, does not fail with the first.
        first = pool.submit(asked, server, "1000", "key")
        until(lambda: len(server._service.front._flights))
        second = pool.submit(asked, server, "20000", "key")
        third = asked(server, "1", "key")
        assert third.status_code == 504
        assert first.result(20).status_code == 504
        engine.hold.set()
        assert begun.result(20).status_code == 200
        assert second.result(20).status_code == 200
    ran = [text.text for batch in engine.batches for text in batch]
    assert sorted(ran) == ["begun", "waiting"]
    assert len(gate.settled) == 2


@pytest.mark.parametrize("timeout", ["0", "-1", "1.5", "soon", "", "1e3", "9" * 13])
def test_times_that_are_none(timeout: str) -> None:
    with serving(NoGate()) as server:
        refused = asked(server, timeout)
        assert refused.status_code == 422
        assert "X-Timeout-Ms" in refused.json()["error"]
        assert asked(server, "00020000").status_code == 200


@pytest.mark.parametrize(
    ("settings", "timeout"),
    [
        (replace(SETTINGS, timeout_ms=20), None),
        (replace(SETTINGS, max_timeout_ms=20), None),
        (replace(SETTINGS, max_timeout_ms=20), "20000"),
        (replace(SETTINGS, timeout_ms=20000, max_timeout_ms=20), None),
        (replace(SETTINGS, timeout_ms=20000, max_timeout_ms=20000), "20"),
    ],
)
def test_the_server_may_set_the_time(settings: Serve, timeout: str | None) -> None:
    engine = FakeEngine(hold=threading.Event())
    assert engine.hold is not None
    with serving(NoGate(), engine, settings=settings) as server, ThreadPoolExecutor(1) as pool:

        def until_begun() -> httpx.Response:
            while (answer := asked(server, "20000")).status_code == 504:
                pass  # the machine was too slow for it
            return answer

        begun = pool.submit(until_begun)
        assert engine.running.acquire(timeout=20)
        assert asked(server, timeout).status_code == 504
        engine.hold.set()
        assert begun.result(20).status_code == 200
