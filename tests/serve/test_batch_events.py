"""Progress as server-sent events, over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import DatabaseGate, FakeEngine, batches_of, client, serving, until
from test_batches import customer, ended, status, submit, texts

from freehold.serve.batches import events
from freehold.serve.keys import KeyRing
from freehold.serve.server import ServerThread
from freehold.store.database import Database


class Held:
    """A server whose engine waits."""

    def __init__(self, server: ServerThread, engine: FakeEngine, key: str) -> None:
        self.server = server
        self.engine = engine
        self.key = key


@pytest.fixture
def held(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    monkeypatch.setattr(events, "_POLL", 0.02)
    monkeypatch.setattr(events, "_PAUSE", 0.01)
    engine = FakeEngine(hold=threading.Event())
    gate, key = DatabaseGate(sqlite, KeyRing(sqlite)), customer(sqlite)
    with serving(gate, engine, batches=batches_of(sqlite, tmp_path)) as server:
        yield Held(server, engine, key)
        engine.hold.set()


def read(lines: Iterator[str]) -> dict[str, Any]:
    """The next event, with its id and name."""
    found: dict[str, Any] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            found[name] = json.loads(value) if name == "data" else value
        elif not line and "data" in found:
            return found
    raise AssertionError("the stream has ended")


def test_progress_is_told_until_the_end(held: Held) -> None:
    with client(held.server, held.key) as http:
        batch = submit(http, texts(200))
        until(lambda: status(http, batch)["status"] == "running")
        path = f"/batches/{batch['id']}/events"
        with http.stream("GET", path) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            told = [read(lines)]
            assert told[0]["event"] == "progress"
            assert told[0]["data"] == status(http, batch)
            held.engine.hold.set()
            while told[-1]["event"] == "progress":
                told.append(read(lines))
            assert list(lines) == []
        assert told[-1]["event"] == "end"
        assert told[-1]["data"] == status(http, batch)
        numbers = [int(event["id"]) for event in told]
        assert numbers == sorted(set(numbers))
        done = [event["data"]["done"] for event in told]
        assert (done, done[0], done[-1]) == (sorted(done), 0, 200)
        # Who has seen the end is told to stop asking, who has not is told the end.
        assert http.get(path, headers={"Last-Event-ID": told[-1]["id"]}).status_code == 204
        again = http.get(path, headers={"Last-Event-ID": told[0]["id"]})
        assert again.text.count("event: ") == 1
        assert "event: end" in again.text
        assert http.get(path, headers={"Last-Event-ID": "x"}).status_code == 422


def test_a_quiet_stream_has_a_heartbeat_and_goes_on_where_it_was(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_HEARTBEAT", 0.05)
    with client(held.server, held.key) as http:
        batch = submit(http, texts(3))
        until(lambda: status(http, batch)["status"] == "running")
        with http.stream("GET", f"/batches/{batch['id']}/events") as stream:
            seen = read(stream.iter_lines())["id"]
        headers = {"Last-Event-ID": seen}
        with http.stream("GET", f"/batches/{batch['id']}/events", headers=headers) as stream:
            lines = stream.iter_lines()
            assert next(line for line in lines if line and "retry" not in line) == ": still here"
            held.engine.hold.set()
            assert read(lines)["data"]["status"] in ("running", "done")


def test_a_stream_of_a_batch_that_is_cancelled_ends_and_so_does_one_when_the_server_stops(
    held: Held,
) -> None:
    with client(held.server, held.key) as http, client(held.server, held.key) as other:
        first, second = submit(http, texts(3)), submit(http, texts(3))
        with http.stream("GET", f"/batches/{first['id']}/events") as stream:
            lines = stream.iter_lines()
            read(lines)
            assert other.post(f"/batches/{first['id']}/cancel").status_code == 200
            told = read(lines)
            while told["event"] != "end":
                told = read(lines)
            assert told["data"]["status"] == "cancelled"
        with http.stream("GET", f"/batches/{second['id']}/events") as stream:
            lines = stream.iter_lines()
            read(lines)
            held.engine.hold.set()
            stopping = threading.Thread(target=held.server.stop)
            stopping.start()
            for _ in lines:
                pass
        stopping.join()


def test_only_so_many_streams_are_open(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    from freehold.serve.batches import desk

    monkeypatch.setattr(desk, "_STREAMS", 1)
    with client(held.server, held.key) as http, client(held.server, held.key) as other:
        batch = submit(http, texts(1))
        with http.stream("GET", f"/batches/{batch['id']}/events") as stream:
            lines = stream.iter_lines()  # which would close the stream if it went
            read(lines)
            refused = other.get(f"/batches/{batch['id']}/events")
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) > 0
            lines.close()
        held.engine.hold.set()
        ended(other, batch)
        until(lambda: _opens(other, batch))


def _opens(http: httpx.Client, batch: dict[str, Any]) -> bool:
    return http.get(f"/batches/{batch['id']}/events").status_code == 200
