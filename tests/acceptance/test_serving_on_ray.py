"""Two replicas on a local Ray over PostgreSQL, one killed under load, then the other: no
answer is lost, none is billed twice."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from freehold.store import schema
from freehold.store.database import Database
from freehold.testing import run_verb, tiny_encoder

CLIENTS = 8
WORDS = ("lost", "refund", "repair", "price")

pytestmark = [
    pytest.mark.timeout(900),  # Ray's own start may take a minute on a busy machine
    pytest.mark.skipif(sys.platform != "linux", reason="replicas are found in /proc"),
]


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A venture with a live version, over PostgreSQL."""
    monkeypatch.setenv("FREEHOLD_DATABASE_URL", database_url)
    encoder = tiny_encoder(tmp_path / "encoder")
    rows = "".join(f"my bike {word},{word}\n" for word in WORDS)
    for name, times in (("train", 10), ("dev", 2)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows * times)
    (tmp_path / "freehold.toml").write_text(
        '[project]\nname = "bank"\n[data]\ntrain = "train.csv"\ndev = "dev.csv"\n'
        f'[train]\nbase = "{encoder}"\nepochs = 1\nthreads = 1\n[serve]\nport = 0\n'
        '[[plans]]\nname = "free"\n'
    )
    for words in (("train",), ("export", "bank@1"), ("promote", "bank@1")):
        run_verb(tmp_path, *words)
    return tmp_path


@contextmanager
def replicas(project: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`freehold serve --on ray` with two replicas, and its URL; stopped as an operator would,
    after which nothing of it is left."""
    temporary = tempfile.mkdtemp(prefix="t-")
    errors = project / "errors"
    with errors.open("wb") as log:
        words = ("serve", "--json", "--on", "ray", "--replicas", "2", "--threads", "1")
        process = subprocess.Popen(
            [sys.executable, "-m", "freehold", *words],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "TMPDIR": temporary},
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, errors.read_text()
        yield process, json.loads(line)["url"].removeprefix("http://")
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == ""
        assert process.wait(120) == 0, errors.read_text()
        assert "Traceback" not in errors.read_text()
        assert list(Path(temporary).glob("fh-*")) == []
        until(lambda: below(temporary) == [], 20)
    finally:
        process.kill()
        for number in below(temporary):
            os.kill(number, signal.SIGKILL)
        process.communicate()
        shutil.rmtree(temporary, ignore_errors=True)


def below(temporary: str) -> list[int]:
    """The processes that were begun with this folder for their files."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"TMPDIR={temporary}\0".encode() in file.read_bytes() + b"\0":
                found.append(int(file.parent.name))
        except OSError:  # it has just ended, or is another user's
            continue
    return found


def replicas_of(server: subprocess.Popen[str]) -> list[int]:
    """The processes of replicas below a server."""
    parents, found = {}, []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = file.read_text().partition(") ")
            parents[int(file.parent.name)] = int(rest.split()[1])
            if (file.parent / "cmdline").read_bytes().startswith(b"ray::ServeReplica"):
                found.append(int(file.parent.name))
        except OSError:
            continue

    def ours(number: int) -> bool:
        while number in parents:
            if number == server.pid:
                return True
            number = parents[number]
        return False

    return sorted(filter(ours, found))


@dataclass
class Diary:
    """What clients saw. ada's requests have a key and are sent until they are answered; bob's have
    none and are sent once."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    new: Counter[str] = field(default_factory=Counter)
    retries: int = 0
    sent: int = 0  # without a key
    answered: list[str] = field(default_factory=list)  # request ids, without a key
    wrong: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Sends one request after another, now and then one that is answered already."""

    def __init__(self, address: str, keys: dict[str, str], diary: Diary, number: int) -> None:
        super().__init__(daemon=True)
        self.address, self.keys, self.diary = address, keys, diary
        self.chance = random.Random(number)
        self.name = f"c{number}"
        self.stopping = threading.Event()
        self.done = 0
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def run(self) -> None:
        while not self.stopping.is_set():
            self.done += 1
            if self.chance.random() < 0.3:
                self.without_key()
            else:
                self.with_key(f"{self.name}-{self.done}")
                if self.chance.random() < 0.1:
                    self.with_key(f"{self.name}-{self.chance.randint(1, self.done)}")
        self.connection.close()

    def with_key(self, key: str) -> None:
        text = f"my bike {key}"
        while True:
            status, headers, body = self.ask("ada", text, {"Idempotency-Key": key})
            if status == 200:
                break
            with self.diary.lock:
                self.diary.retries += 1
            self.stopping.wait(0.05)
        with self.diary.lock:
            self.diary.bodies.setdefault(key, set()).add(body)
            self.diary.new[key] += headers.get("Idempotency-Replayed") != "true"

    def without_key(self) -> None:
        with self.diary.lock:
            self.diary.sent += 1
        status, headers, _ = self.ask("bob", "my bike", {})
        if status == 200:
            with self.diary.lock:
                self.diary.answered.append(headers["X-Request-Id"])

    def ask(self, who: str, text: str, more: dict[str, str]) -> tuple[int, Any, bytes]:
        headers = {"Authorization": f"Bearer {self.keys[who]}", **more}
        body = json.dumps({"inputs": text})
        try:
            self.connection.request("POST", "/models/bank", body, headers)
            response = self.connection.getresponse()
            found = response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            self.diary.wrong.append(f"the proxy broke off: {error!r}")
            return 0, {}, b""
        if found[0] not in (200, 503):
            self.diary.wrong.append(f"{found[0]} {found[2]!r}")
        elif found[0] == 503 and not (found[1]["Retry-After"] and "error" in json.loads(found[2])):
            self.diary.wrong.append(f"not our 503: {found[2]!r}")
        return found


def asked(clients: list[Client], times: int = 15) -> None:
    """Wait until each client has been answered so often."""
    before = [client.done for client in clients]
    until(lambda: all(c.done > done + times for c, done in zip(clients, before, strict=True)))


def until(met: Callable[[], object], seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        threading.Event().wait(0.05)


def violations(url: str, diary: Diary) -> list[str]:
    """What is wrong with the books, given what the clients saw."""
    found = list(diary.wrong)
    with Database.open(url) as database, database.read() as connection:
        names = {row.id: row.name for row in connection.execute(sa.select(schema.customers))}
        events = {row.request_id: row for row in connection.execute(sa.select(schema.usage_events))}
        stored = {row.idempotency_key: row for row in connection.execute(sa.select(schema.answers))}
        servers = set(connection.execute(sa.select(schema.served.c.server)).scalars())
    for key, bodies in diary.bodies.items():
        if len(bodies) != 1 or bytes(stored[key].body) not in bodies:
            found.append(f"{key} was answered with {len(bodies)} bodies, not all the stored one")
        if diary.new[key] > 1:
            found.append(f"{key} was answered as new {diary.new[key]} times")
        if stored[key].request_id not in events:
            found.append(f"{key} was answered and not metered")
    whose = Counter(names[event.customer_id] for event in events.values())
    if not len(diary.bodies) == len(stored) == whose["ada"]:
        found.append(f"{len(diary.bodies)} keys, {len(stored)} stored, {whose['ada']} metered")
    found += [f"{one} was answered and not metered" for one in diary.answered if one not in events]
    if not len(diary.answered) <= whose["bob"] <= diary.sent:
        found.append(f"of {diary.sent} {len(diary.answered)} answered, {whose['bob']} metered")
    if len(servers) < 4:  # two, and those in their places
        found.append(f"only {len(servers)} replicas have answered")
    return found


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_answer_is_lost_and_none_is_billed_twice_when_replicas_are_killed(
    project: Path, database_url: str
) -> None:
    keys = {
        name: run_verb(project, "customer", "add", name, "--plan", "free")["key"]
        for name in ("ada", "bob")
    }
    diary = Diary()
    with replicas(project) as (server, address):
        clients = [Client(address, keys, diary, number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            first = replicas_of(server)
            assert len(first) == 2
            for victim in first:
                asked(clients)
                os.kill(victim, signal.SIGKILL)
                # Another takes its place.
                until(lambda: victim not in replicas_of(server))  # noqa: B023
                until(lambda: len(replicas_of(server)) == 2)
            asked(clients)
        finally:
            for client in clients:
                client.stopping.set()
        for client in clients:
            client.join(120)
            assert not client.is_alive()
    assert violations(database_url, diary) == []
    books = run_verb(project, "reconcile")
    assert books["difference"] == 0
    print(f"\n{len(diary.bodies)} keys and {diary.sent} without, {diary.retries} retries")
    # The test would show nothing if no request had been interrupted.
    assert diary.retries > 0
