"""What replicas on Ray rest on, without Ray: ids that a proxy gives, its voice, what is refused.
The rest is in acceptance."""

from __future__ import annotations

import asyncio
import json
import pickle
import socket
import sys
import threading
import types
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from serving import SETTINGS, DatabaseGate, FakeEngine, NoGate, rows

from freehold.app.scale import ReplicaOf
from freehold.bill.customers import add_customer
from freehold.bill.reconcile import reconcile
from freehold.cli.main import main
from freehold.clock import SystemClock
from freehold.errors import MissingDependencyError, UnavailableError
from freehold.project import PlanTerms, Serve
from freehold.serve.factory import Service
from freehold.serve.keys import KeyRing, create_key
from freehold.serve.proxied import InOneVoice, middlewares
from freehold.serve.runner_ray import Scale, _reason, replica_app, serve_on_ray
from freehold.store import schema
from freehold.store.database import Database

Messages = list[dict[str, Any]]


async def ask(app: Any, path: str, body: bytes = b"", **headers: str) -> Messages:
    """POST as a server would that is not ours; what was sent back."""
    sent: Messages = []

    async def receive() -> dict[str, Any]:
        if asked:
            await asyncio.Event().wait()
        asked.append(True)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asked: list[bool] = []
    pairs = [(k.replace("_", "-").lower().encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": pairs, "query_string": b""}
    await app(scope, receive, send)
    return sent


def ids(messages: Messages) -> list[bytes]:
    return [value for name, value in messages[0]["headers"] if name.lower() == b"x-request-id"]


@pytest.mark.parametrize("key", ["k-1", None])
def test_a_request_that_the_proxy_gave_to_two_replicas_is_billed_once(
    database: Database, key: str | None
) -> None:
    clock = SystemClock()
    ada = add_customer(database, "ada", PlanTerms(name="free"), clock, currency="EUR")
    _, token = create_key(database, ada.id, clock)

    async def both() -> list[Messages]:
        found = []
        for number in range(2):
            gate = DatabaseGate(database, KeyRing(database), f"srv_{number}")
            service = Service({"bank": FakeEngine()}, gate, SETTINGS, log=None)
            app = replica_app(service, lambda: "a1b2")
            await service.start()
            headers = {"Authorization": f"Bearer {token}"} | (
                {"Idempotency_Key": key} if key else {}
            )
            found.append(await ask(app, "/models/bank", b'{"inputs": "where"}', **headers))
            await service.stop()
        return found

    first, second = asyncio.run(both())
    assert first[0]["status"] == second[0]["status"] == 200
    assert first[1]["body"] == second[1]["body"]
    assert ids(first) == ids(second) == [b"a1b2"]
    assert [event.request_id for event in rows(database, schema.usage_events)] == ["a1b2"]
    books = reconcile(database, clock)
    assert (books.difference, books.served) == (0, 1)


def test_a_request_whose_client_left_is_cancelled_by_ray_and_not_answered() -> None:
    gate, engine = NoGate(), FakeEngine(hold=threading.Event())
    asked = partial(ask, path="/models/bank", body=b'{"inputs": "a"}', Authorization="Bearer fh_1")

    async def leave() -> list[Messages]:
        service = Service({"bank": engine}, gate, SETTINGS, log=None)
        await service.start()
        first = asyncio.create_task(asked(replica_app(service, lambda: "first")))
        assert await asyncio.to_thread(engine.running.acquire, timeout=20)

        async def cancelled(scope: Any, receive: Any, send: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(0.05, task.cancel)
            await replica_app(service, lambda: "second")(scope, receive, send)

        second = await asyncio.create_task(asked(cancelled))
        assert engine.hold is not None
        engine.hold.set()
        found = [await first, second]
        await service.stop()
        return found

    answered, left = asyncio.run(leave())
    assert answered[0]["status"] == 200
    assert left == []
    assert [work.request_id for work in gate.settled] == ["first"]


def test_a_replica_is_unsound_when_its_engine_thread_has_ended() -> None:
    async def ended() -> None:
        service = Service({"bank": FakeEngine()}, NoGate(), SETTINGS, log=None)
        with pytest.raises(UnavailableError, match="The engine has stopped"):
            service.require_engine()
        await service.start()
        service.require_engine()
        await service.stop()
        with pytest.raises(UnavailableError, match="The engine has stopped"):
            service.require_engine()

    asyncio.run(ended())


def proxied(*messages: dict[str, Any], path: str = "/models/bank") -> Messages:
    """What leaves a proxy that itself sends these messages."""

    async def proxy(scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        for message in messages:
            await send(message)

    return asyncio.run(ask(InOneVoice(proxy), path))


def start(status: int, *names: str) -> dict[str, Any]:
    headers = [[b"content-length", b"4"], *([b"x-request-id", name.encode()] for name in names)]
    return {"type": "http.response.start", "status": status, "headers": headers}


BODY = {"type": "http.response.body", "body": b"text"}


@pytest.mark.parametrize("status", [200, 404, 503])
def test_what_a_replica_says_keeps_its_own_id(status: int) -> None:
    assert proxied(start(status, "ours", "rays"), BODY) == [start(status, "ours"), BODY]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ((start(404, "rays"), {**BODY, "more_body": True}, BODY), "No replica could take"),
        ((start(503), BODY), "No replica could take"),
        ((), "The replica that had this request was lost."),
    ],
)
def test_what_a_proxy_says_by_itself_becomes_a_sentence(messages: Any, said: str) -> None:
    head, body = proxied(*messages)
    assert head["status"] == 503
    assert dict(head["headers"])[b"retry-after"] == b"1"
    assert json.loads(body["body"])["error"].startswith(said)
    assert len(ids([head])) == 1


def test_a_proxys_own_paths_are_left_to_ray() -> None:
    assert proxied(start(200, "rays"), BODY, path="/-/healthz") == [start(200, "rays"), BODY]
    (middleware,) = middlewares()
    assert middleware.cls is InOneVoice


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FREEHOLD_DATABASE_URL", raising=False)
    (tmp_path / "freehold.toml").write_text('[project]\nname = "bank"\n')
    return tmp_path


def refused(project: Path, *words: str, code: int = 1) -> str:
    done = CliRunner().invoke(main, ["serve", *words, "--project", str(project)])
    assert done.exit_code == code, done.output
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "settings", "who"),
    [
        (("--replicas", "2"), "", "2 replicas"),
        (("--max-replicas", "3"), "", "3 replicas"),
        ((), 'ray_address = "10.0.0.1:6379"', "A cluster"),
    ],
)
def test_sqlite_is_for_one_machine(
    project: Path, words: tuple[str, ...], settings: str, who: str
) -> None:
    with (project / "freehold.toml").open("a") as file:
        file.write(f"[serve]\n{settings}\n")
    said = refused(project, "--on", "ray", *words)
    assert f"{who} cannot share SQLite, which is for one machine. Set FREEHOLD_DATABASE_URL" in said


def test_options_that_would_change_nothing_are_refused(project: Path) -> None:
    assert "--replicas is for --on ray." in refused(project, "--replicas", "2", code=2)
    assert "--max-replicas is for --on ray." in refused(project, "--max-replicas", "2", code=2)
    assert "--replicas is for Ray" in refused(project, "--on", "ray", "--workers", "2", code=2)


def run(settings: Serve) -> None:
    serve_on_ray(NotImplemented, settings, Scale(1, 1, 32, 1), on_ready=print)


def test_without_ray_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="Serving on Ray needs ray"):
        run(SETTINGS)


def test_an_address_where_nobody_is_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "ray.serve"):  # not even asked
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(UnavailableError, match=r"cannot be reached: [A-Z][^\n]+\.$"):
        run(Serve(port=0, ray_address=address))


def test_why_a_replica_did_not_start_is_one_sentence() -> None:
    ours = "ray::Replica\n  File x\nfreehold.errors.NotFoundError: No version is live.\n\nmore"
    assert _reason(RuntimeError(ours)) == "No version is live."
    assert _reason(RuntimeError("Deploying failed:\nno memory\n")) == "no memory"
    assert _reason(ValueError()) == "ValueError"


def test_what_a_replica_is_made_of_travels_and_shows_no_password(tmp_path: Path) -> None:
    made = ReplicaOf(tmp_path, SETTINGS, "postgresql://ada:secret@host/bank")
    assert "secret" not in repr(made)
    assert pickle.loads(pickle.dumps(made)) == made
