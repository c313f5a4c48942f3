"""Servers that are killed under load, clients that retry, and what is then wrong with the books.

Clients retry, with the same Idempotency-Key, whatever they got no answer to, against the next
server. Used by test_kill.py, test_faults.py and the tests of `make chaos`.
"""

from __future__ import annotations

import http.client
import itertools
import json
import math
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
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from serving import rows

from freehold.bill.customers import add_customer
from freehold.bill.wallets import top_up, wallet_of
from freehold.clock import ManualClock, SystemClock
from freehold.meter.holds import free_lapsed
from freehold.project import PlanTerms
from freehold.serve.keys import create_key
from freehold.store import schema
from freehold.store.database import Database

CLIENTS = 6
PATH = "/models/bank"


@dataclass(frozen=True)
class Asked:
    """A request; without a key nobody can tell whether it is a retry."""

    key: str | None
    texts: tuple[str, ...]


@dataclass
class Diary:
    """What the clients saw, which is all that may be held against the books. Spans are the moments
    at which a request was sent and its new answer, or its refusal, came."""

    answers: list[tuple[Asked, str, bytes, bool]] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)
    refusals: list[tuple[float, float]] = field(default_factory=list)
    interrupted: int = 0
    unkeyed_sent: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(
        self, asked: Asked, request_id: str, body: bytes, replayed: bool, sent: float
    ) -> None:
        with self.lock:
            self.answers.append((asked, request_id, body, replayed))
            if not replayed:  # what is in the books may be read while nothing can be written
                self.spans.append((sent, time.monotonic()))

    def within(self, begun: float, ended: float) -> tuple[int, int]:
        """Requests that were sent and answered anew in between, and those that were refused."""
        answered, refused = (
            sum(begun < sent and back < ended for sent, back in spans)
            for spans in (self.spans, self.refusals)
        )
        return answered, refused


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
        sent = time.monotonic()
        try:
            connection.request("POST", PATH, json.dumps({"inputs": asked.texts}), headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return False
        if response.status == 200:
            replayed = response.headers["Idempotency-Replayed"] == "true"
            self.diary.answered(asked, response.headers["X-Request-Id"], body, replayed, sent)
            return True
        if response.status != 503:
            self.diary.wrong.append(f"{response.status} {body!r}")
        elif int(response.headers.get("Retry-After", "0")) < 1:
            self.diary.wrong.append(f"503 without Retry-After: {body!r}")
        else:
            self.diary.refusals.append((sent, time.monotonic()))
        return False


class OnlyRetry(Client):
    """Asks what is still unanswered and nothing else."""

    def next(self, number: int) -> Asked | None:
        try:
            return self.todo.get_nowait()
        except queue.Empty:
            return None


class Steady(Client):
    """Goes on whatever happens: refused it asks again soon, cut off it asks the next server."""

    def __init__(self, urls: Sequence[str], *others: Any) -> None:
        super().__init__(urls[0], *others)
        self.addresses = itertools.cycle([urllib.parse.urlsplit(url).netloc for url in urls])
        self.again = threading.Event()

    def run(self) -> None:
        connection = http.client.HTTPConnection(next(self.addresses), timeout=40)
        number = 0
        while not self.stopping.is_set():
            number += 1
            asked = self.next(number)
            assert asked is not None
            before = len(self.diary.refusals)
            if self.ask(connection, asked):
                self.first_answer.set()
                self.again.set()
                continue
            self.diary.interrupted += 1
            if asked.key is not None:
                self.todo.put(asked)
            connection.close()
            if len(self.diary.refusals) == before:
                connection = http.client.HTTPConnection(next(self.addresses), timeout=40)
            self.stopping.wait(0.02)
        connection.close()


class Nursery:
    """The process that forks servers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.started: list[int] = []

    def start(self) -> tuple[int, str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("start\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "no server started"
        pid, url = line.split()
        self.started.append(int(pid))
        return int(pid), url

    def stop(self) -> None:
        """Ask all servers to end. They are children of the nursery's process until it ends, so that
        no other process has a number of theirs."""
        for pid in self.started:
            os.kill(pid, signal.SIGTERM)


@contextmanager
def nursery(url: str, mutant: str = "", *, script: str = "kill_server.py") -> Iterator[Nursery]:
    """Of servers over the database at `url`; `mutant` spoils their gate (see kill_server.py)."""
    process = subprocess.Popen(
        [sys.executable, Path(__file__).with_name(script), url, mutant],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    try:
        with process:
            house = Nursery(process)
            try:
                yield house
            finally:
                house.stop()
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
    _, url = house.start()
    for _ in range(3):
        retries = [OnlyRetry(url, tokens, diary, todo, seed) for seed in range(CLIENTS)]
        for client in retries:
            client.start()
        for client in retries:
            client.join(60)
    assert todo.empty()


@dataclass
class Load:
    """Everything of one run: customers' keys, what was seen, what waits for an answer, chance."""

    tokens: dict[bool, str]
    chance: random.Random
    diary: Diary = field(default_factory=Diary)
    todo: queue.Queue[Asked] = field(default_factory=queue.Queue)

    def kill_again_and_again(self, house: Nursery, servers: int, kills: int) -> None:
        """Rounds of load until so many servers were killed; all is answered in the end."""
        killed = 0
        while killed < kills:
            killed += round_of_load(house, servers, self.tokens, self.diary, self.todo, self.chance)
        finish(house, self.tokens, self.diary, self.todo)

    def through(
        self,
        urls: Sequence[str],
        fault: AbstractContextManager[object],
        seconds: float,
        *,
        refused: bool = False,
    ) -> tuple[float, float]:
        """Load over a fault that lasts so long, and with `refused` until it is felt; from when to
        when it was. It returns when each client was answered again, without anybody's help."""
        clients = [
            Steady(
                urls[place % len(urls) :] + urls[: place % len(urls)],
                self.tokens, self.diary, self.todo, self.chance.getrandbits(32),
            )
            for place in range(CLIENTS)
        ]  # fmt: skip
        for client in clients:
            client.start()
        try:
            for client in clients:
                assert client.first_answer.wait(30)
            with fault:
                begun = time.monotonic()
                threading.Event().wait(seconds)
                while refused and not self.diary.within(begun, math.inf)[1]:
                    assert time.monotonic() - begun < 60, "nothing was refused"
                    threading.Event().wait(0.02)
                ended = time.monotonic()
            for client in clients:
                client.again.clear()
            for client in clients:
                assert client.again.wait(60), "the service did not resume"
        finally:
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join(60)
        return begun, ended

    def assert_replays(self, kills: int, servers: int) -> None:
        """A run would show nothing if it had not reached what it is about: interrupted requests,
        retries, and answers that were in the books and had not left when the server died."""
        answers = self.diary.answers
        keys = {asked.key for asked, _, _, _ in answers}
        assert keys > {asked.key for asked, _, _, replayed in answers if not replayed}
        assert len(answers) > kills * CLIENTS / servers
        assert self.diary.interrupted > kills / 2
        assert sum(replayed for _, _, _, replayed in answers) > kills / 2


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


def customers(
    database: Database, starts: datetime | None = None, *, limits: bool = True
) -> dict[bool, str]:
    """A key each for ada, whose requests have Idempotency-Keys, and bob, whose have none. Ada pays
    ahead and bob has a quota, so that what is held for requests dies with servers, too; not so
    without `limits`."""
    clock = SystemClock()
    ahead = PlanTerms(name="ahead", prepaid=limits)
    free = PlanTerms(name="free", quota=10**9 if limits else 0)
    for name, plan in (("ada", ahead), ("bob", free)):
        add_customer(database, name, plan, clock, currency="EUR", customer_id=name, starts=starts)
    if limits:
        top_up(database, "ada", 10**9, clock)
    return {name == "ada": create_key(database, name, clock)[1] for name in ("ada", "bob")}


def unpaid(database: Database) -> list[str]:
    """What is wrong with ada's wallet once the holds of servers that were killed have lapsed."""
    free_lapsed(database, ManualClock(SystemClock().now() + timedelta(days=1)))
    wallet = wallet_of(database, "ada")
    events = rows(database, schema.usage_events)
    metered = sum(event.inputs for event in events if event.customer_id == "ada")
    found = [] if wallet.held == 0 else [f"{wallet.held} units are held by nobody"]
    if wallet.used != metered:
        found.append(f"{metered} units were metered, {wallet.used} were taken from the wallet")
    return found
