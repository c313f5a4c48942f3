"""The server is killed under load, again and again: what was answered is metered once, none twice.

Clients retry, with the same Idempotency-Key, whatever they got no answer to, against the next
server. Two servers run over PostgreSQL at a time, so that the same key is in flight in two
processes. The last tests spoil the gate and show that the checks see it.
"""

from __future__ import annotations

import http.client
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from serving import rows

from freehold.bill.customers import add_customer
from freehold.bill.reconcile import reconcile
from freehold.clock import SystemClock
from freehold.project import PlanTerms
from freehold.serve.keys import create_key
from freehold.store import schema
from freehold.store.database import Database

KILLS = 32
CLIENTS = 6
PATH = "/models/bank"


@dataclass(frozen=True)
class Asked:
    """A request; without a key nobody can tell whether it is a retry."""

    key: str | None
    texts: tuple[str, ...]


@dataclass
class Diary:
    """What the clients saw, which is all that may be held against the books."""

    answers: list[tuple[Asked, str, bytes, bool]] = field(default_factory=list)
    interrupted: int = 0
    unkeyed_sent: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self, asked: Asked, request_id: str, body: bytes, replayed: bool) -> None:
        with self.lock:
            self.answers.append((asked, request_id, body, replayed))


class Client(threading.Thread):
    """Asks until told to stop. Keyed requests are billed to ada, others to bob."""

    def __init__(
        self, url: str, tokens: dict[bool, str], diary: Diary, todo: queue.Queue[Asked], seed: int
    ) -> None:
        super().__init__(daemon=True)
        self.address = urllib.parse.urlsplit(url).netloc
        self.tokens = tokens
        self.diary = diary
        self.todo = todo
        self.random = random.Random(seed)
        self.seed = seed
        self.stopping = threading.Event()
        self.first_answer = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=20)
        number = 0
        try:
            while not self.stopping.is_set():
                number += 1
                asked = self.next(number)
                if asked is None:
                    break
                if not self.ask(connection, asked):
                    self.diary.interrupted += 1
                    if asked.key is not None:
                        self.todo.put(asked)
                    break  # the server is dead or dying
                self.first_answer.set()
        finally:
            connection.close()

    def next(self, number: int) -> Asked | None:
        """Something unanswered first; else something new, or now and then something answered."""
        try:
            return self.todo.get_nowait()
        except queue.Empty:
            pass
        chance = self.random.random()
        texts = tuple(f"{self.seed} {number} {place}" for place in range(self.random.randint(1, 3)))
        if chance < 0.15 and (old := self.random.choice(self.diary.answers or [None])):
            return old[0] if old[0].key is not None else Asked(None, texts)
        if chance < 0.3:
            return Asked(None, texts)
        asked = Asked(f"k-{self.seed}-{number}", texts)
        if chance < 0.5:
            self.todo.put(asked)  # asked twice, most likely at the same time
        return asked

    def ask(self, connection: http.client.HTTPConnection, asked: Asked) -> bool:
        headers = {"Authorization": f"Bearer {self.tokens[asked.key is not None]}"}
        if asked.key is not None:
            headers["Idempotency-Key"] = asked.key
        else:
            with self.diary.lock:
                self.diary.unkeyed_sent += 1
        try:
            connection.request("POST", PATH, json.dumps({"inputs": asked.texts}), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return False
        if response.status == 200:
            replayed = response.headers["Idempotency-Replayed"] == "true"
            self.diary.answered(asked, response.headers["X-Request-Id"], body, replayed)
            return True
        if response.status != 503:
            self.diary.wrong.append(f"{response.status} {body!r}")
        return False


class OnlyRetry(Client):
    """Asks what is still unanswered and nothing else."""

    def next(self, number: int) -> Asked | None:
        try:
            return self.todo.get_nowait()
        except queue.Empty:
            return None


class Nursery:
    """The process that forks servers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def start(self) -> tuple[int, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "no server started"
        pid, url = line.split()
        return int(pid), url


@contextmanager
def nursery(url: str, mutant: str = "") -> Iterator[Nursery]:
    script = Path(__file__).with_name("kill_server.py")
    process = subprocess.Popen(
        [sys.executable, script, url, mutant],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        with process:
            yield Nursery(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(20) == 0
    finally:
        process.kill()


def round_of_load(
    house: Nursery,
    servers: int,
    tokens: dict[bool, str],
    diary: Diary,
    todo: queue.Queue[Asked],
    chance: random.Random,
) -> int:
    """Start servers, load them, kill each at a moment of its own; how many were killed."""
    running = [house.start() for _ in range(servers)]
    clients = [
        Client(running[number % servers][1], tokens, diary, todo, chance.getrandbits(32))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:  # so that the kill comes under load, however slow the machine
        assert client.first_answer.wait(30)
    began = time.monotonic()
    for after, pid in sorted((chance.uniform(0.0, 0.3), pid) for pid, _ in running):
        time.sleep(max(0.0, after - (time.monotonic() - began)))
        os.kill(pid, signal.SIGKILL)
    for client in clients:
        client.stopping.set()
        client.join(30)
        assert not client.is_alive()
    return servers


def finish(house: Nursery, tokens: dict[bool, str], diary: Diary, todo: queue.Queue[Asked]) -> None:
    """A last server answers all that is still unanswered, and is asked to stop."""
    pid, url = house.start()
    for _ in range(3):
        retries = [OnlyRetry(url, tokens, diary, todo, seed) for seed in range(CLIENTS)]
        for client in retries:
            client.start()
        for client in retries:
            client.join(60)
    assert todo.empty()
    os.kill(pid, signal.SIGTERM)


def violations(database: Database, diary: Diary) -> list[str]:
    """What is wrong with the books, given what the clients saw."""
    found = list(diary.wrong)
    events = {event.request_id: event for event in rows(database, schema.usage_events)}
    stored = {row.idempotency_key: row for row in rows(database, schema.answers)}
    bodies: dict[str, set[bytes]] = {}
    billed: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    unkeyed = 0
    for asked, request_id, body, replayed in diary.answers:
        unkeyed += asked.key is None
        if not replayed and request_id not in events:
            found.append(f"{request_id} was answered and not metered")
        elif not replayed and events[request_id].inputs != len(asked.texts):
            found.append(f"{request_id} was metered with the wrong inputs")
        if asked.key is not None:
            bodies.setdefault(asked.key, set()).add(body)
            sizes[asked.key] = len(asked.texts)
            billed[asked.key] += not replayed
    for key, seen in bodies.items():
        if len(seen) != 1:
            found.append(f"{key} was answered with {len(seen)} different bodies")
        if billed[key] > 1:
            found.append(f"{key} was answered as new {billed[key]} times")
        if key not in stored or stored[key].request_id not in events:
            found.append(f"{key} was answered and is not in the books")
        elif stored[key].body not in seen:
            found.append(f"{key} was answered with other bytes than those stored")
    # All of ada's requests have a key and each key was answered in the end: an event each, no more.
    ada = [event for event in events.values() if event.customer_id == "ada"]
    if len(ada) != len(bodies):
        found.append(f"{len(bodies)} keys were answered, {len(ada)} events were metered for them")
    if sum(event.inputs for event in ada) != sum(sizes.values()):
        found.append("the inputs of keyed requests were not metered to the unit")
    bob = len(events) - len(ada)
    if not unkeyed <= bob <= diary.unkeyed_sent:
        found.append(f"{unkeyed} unkeyed requests were answered, {bob} were metered")
    served = rows(database, schema.served)
    for figure in ("inputs", "tokens", "compute_us"):
        counted = sum(getattr(row, figure) for row in served)
        metered = sum(getattr(event, figure) for event in events.values())
        if counted != metered:
            found.append(f"the servers counted {counted} {figure}, {metered} were metered")
    if sum(row.requests for row in served) != len(events):
        found.append("the servers counted other requests than were metered")
    return found


def customers(database: Database) -> dict[bool, str]:
    """A key each for ada, whose requests have Idempotency-Keys, and bob, whose have none."""
    clock = SystemClock()
    plan = PlanTerms(name="free")
    for name in ("ada", "bob"):
        add_customer(database, name, plan, clock, currency="EUR", customer_id=name)
    return {name == "ada": create_key(database, name, clock)[1] for name in ("ada", "bob")}


def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    database: Database, database_url: str
) -> None:
    tokens, diary = customers(database), Diary()
    todo: queue.Queue[Asked] = queue.Queue()
    chance = random.Random(20261123)
    servers = 2 if database.dialect == "postgresql" else 1
    with nursery(database_url) as house:
        kills = 0
        while kills < KILLS:
            kills += round_of_load(house, servers, tokens, diary, todo, chance)
        finish(house, tokens, diary, todo)
    assert violations(database, diary) == []
    books = reconcile(database, SystemClock())
    assert books.difference == 0
    assert books.served == books.metered > 0
    # The test would show nothing if it had not reached what it is about: interrupted requests,
    # retries, and answers that were in the books and had not left when the server died.
    replays = sum(replayed for _, _, _, replayed in diary.answers)
    keys = {asked.key for asked, _, _, _ in diary.answers}
    keys_seen_new = {asked.key for asked, _, _, replayed in diary.answers if not replayed}
    assert keys > keys_seen_new
    assert len(diary.answers) > KILLS * CLIENTS / servers
    assert diary.interrupted > KILLS / 2
    assert replays > KILLS / 2


@pytest.mark.parametrize(
    ("mutant", "said"),
    [("early", "was answered and"), ("forgetful", "events were metered for them")],
)
def test_a_spoilt_gate_is_found_out(
    sqlite: Database, tmp_path: Path, mutant: str, said: str
) -> None:
    tokens, diary = customers(sqlite), Diary()
    todo: queue.Queue[Asked] = queue.Queue()
    chance = random.Random(7)
    with nursery(f"sqlite:///{tmp_path / 'freehold.db'}", mutant) as house:
        for _ in range(5):
            round_of_load(house, 1, tokens, diary, todo, chance)
        finish(house, tokens, diary, todo)
    found = violations(sqlite, diary)
    assert any(said in line for line in found), (len(diary.answers), found)
