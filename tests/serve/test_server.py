"""Starting and stopping: a taken port, a drain that answers what was begun, signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from serving import (
    SETTINGS,
    FakeEngine,
    NoGate,
    add_customer,
    client,
    rows,
    serving,
    until,
)

from freehold.errors import UnavailableError
from freehold.serve.server import ServerThread, listen, url_of
from freehold.store import schema
from freehold.store.database import Database

BANK = "/models/bank"


def test_a_taken_port_is_said_in_a_sentence() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UnavailableError, match=f"Port {port} on 127.0.0.1 is taken") as refused:
            ServerThread({"bank": FakeEngine()}, NoGate(), replace(SETTINGS, port=port))
        assert "another port" in refused.value.sentence()
        assert url_of(taken) == f"http://127.0.0.1:{port}"


def test_an_address_that_is_not_ours() -> None:
    with pytest.raises(UnavailableError, match="host"):
        listen("no.such.host.invalid", 0)
    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1 cannot be listened on"):
        listen("192.0.2.1", 0)


def test_an_open_address_is_shown_as_one_that_can_be_called() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")
    if socket.has_ipv6:
        try:
            with listen("::1", 0) as listener:
                assert url_of(listener).startswith("http://[::1]:")
        except UnavailableError:
            pass  # a machine without the protocol


def test_a_drain_answers_what_was_begun() -> None:
    engine, gate = FakeEngine(hold=threading.Event()), NoGate()
    assert engine.hold is not None
    with serving(gate, engine) as server, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> httpx.Response:
            with client(server, "k") as http:
                return http.post(BANK, json={"inputs": f"text {number}"})

        futures = [pool.submit(ask, number) for number in range(6)]
        assert engine.running.acquire(timeout=20)
        with client(server, "k") as http:
            until(lambda: "freehold_queue_tokens 24.0" in http.get("/metrics").text)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        until(lambda: server._service.draining)
        until(lambda: refused(server))
        engine.hold.set()
        stopping.join(20)
        assert not stopping.is_alive()
        assert [future.result(20).status_code for future in futures] == [200] * 6
    assert len(gate.settled) == 6


def refused(server: ServerThread) -> bool:
    try:
        with client(server) as http:
            http.get("/health")
    except httpx.TransportError:
        return True
    return False


def test_a_drain_that_takes_too_long_gives_up_what_was_not_begun() -> None:
    engine, gate = FakeEngine(hold=threading.Event()), NoGate()
    assert engine.hold is not None
    settings = replace(SETTINGS, drain_seconds=1)
    with serving(gate, engine, settings=settings) as server, ThreadPoolExecutor(2) as pool:

        def ask(number: int) -> httpx.Response:
            with client(server, "k") as http:
                return http.post(BANK, json={"inputs": f"text {number}"})

        begun = pool.submit(ask, 0)
        assert engine.running.acquire(timeout=20)
        waiting = pool.submit(ask, 1)
        with client(server, "k") as http:
            until(lambda: "freehold_queue_tokens 8.0" in http.get("/metrics").text)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        for future in (waiting, begun):
            assert future.result(20).status_code == 503
            assert "stopping" in future.result().json()["error"]
        assert stopping.is_alive()
        engine.hold.set()
        stopping.join(20)
    # What had begun is recorded, although its client was given up; what had not is not.
    assert [work.inputs for work in gate.settled] == [1]
    assert [[text.text for text in batch] for batch in engine.batches] == [["text 0"]]


def test_two_servers_in_one_process_do_not_share_figures() -> None:
    with serving(NoGate()) as first, serving(NoGate()) as second:
        with client(first, "k") as http:
            http.post(BANK, json={"inputs": "a"})
            assert 'status="200"} 1.0' in http.get("/metrics").text
        with client(second, "k") as http:
            assert 'status="200"' not in http.get("/metrics").text


@contextmanager
def process(url: str, seconds_per_token: float) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and where it listens; its stderr is read by the caller."""
    script = Path(__file__).with_name("serve_process.py")
    running = subprocess.Popen(
        [sys.executable, script, url, str(seconds_per_token)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with running:
            assert running.stdout is not None
            yield running, running.stdout.readline().strip()
    finally:
        running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_with_0(
    sqlite: Database, tmp_path: Path, number: signal.Signals
) -> None:
    key = add_customer(sqlite)
    with process(f"sqlite:///{tmp_path / 'freehold.db'}", 0.1) as (running, url):
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
            assert http.post(BANK, content=b"{").status_code == 422
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(http.post, BANK, json={"inputs": "one two three"})
                with httpx.Client(base_url=url, trust_env=False) as other:
                    until(lambda: "queue_tokens 5.0" in other.get("/metrics").text)
                running.send_signal(number)
                answer = asked.result(20)
        assert answer.status_code == 200
        assert running.stderr is not None
        logged = running.stderr.read()
        assert running.wait(20) == 0
    (event,) = rows(sqlite, schema.usage_events)
    assert event.request_id == answer.headers["x-request-id"]
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["status"] for line in lines if "status" in line] == [422, 200]
    assert "three" not in logged


def test_asked_twice_it_does_not_wait_for_clients(sqlite: Database, tmp_path: Path) -> None:
    key = add_customer(sqlite)
    with process(f"sqlite:///{tmp_path / 'freehold.db'}", 2.0) as (running, url):
        headers = {"Authorization": f"Bearer {key}"}
        with (
            httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as http,
            ThreadPoolExecutor(1) as pool,
        ):
            asked = pool.submit(http.post, BANK, json={"inputs": "w " * 18})  # 40 seconds
            with httpx.Client(base_url=url, trust_env=False) as other:
                until(lambda: "queue_tokens 20.0" in other.get("/metrics").text)
            running.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            running.send_signal(signal.SIGINT)
            assert asked.result(20).status_code == 503
        assert running.stderr is not None
        running.stderr.read()
        running.wait(15)
    assert rows(sqlite, schema.usage_events) == []
