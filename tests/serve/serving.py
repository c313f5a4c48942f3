"""Engines that need no model and a gate over a real database, for tests of the server."""

from __future__ import annotations

import socket
import threading
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TextIO

import httpx
import numpy as np
import sqlalchemy as sa
from tokenizers import Tokenizer

from freehold.clock import Clock, SystemClock, format_time
from freehold.meter import events
from freehold.meter.batches import Batches
from freehold.project import Serve
from freehold.serve.batches.ports import BatchStore
from freehold.serve.bundle import Meta
from freehold.serve.engine import Engine
from freehold.serve.keys import KeyRing, create_key
from freehold.serve.ports import Caller, Hold, Outcome, Recorded, Tally, Work
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database
from freehold.tasks.answers import Entity, TaggedWord, TextAnswer, WordsAnswer
from freehold.tasks.registry import task_of
from freehold.tasks.tokenise import Tokeniser
from freehold.testing import tiny_encoder

LABELS = ("arrival", "refund", "lost", "other")
SETTINGS = Serve(port=0, drain_seconds=10)


@dataclass(frozen=True)
class FakeMeta:
    model: str = "bank"
    version: int = 1
    task: str = "text-classification"
    labels: tuple[str, ...] = LABELS
    temperature: float = 1.0
    max_length: int = 64

    @classmethod
    def of(cls, task: str) -> FakeMeta:
        return cls(task=task)


@dataclass(frozen=True)
class FakeText:
    text: str
    length: int
    truncated: bool = False


@dataclass
class FakeEngine:
    """Answers by checksum, the same everywhere; a token is a word, plus two.

    `hold` keeps batches from running until it is set; a text with "boom" breaks its batch, one with
    "garble" cannot be answered.
    """

    meta: FakeMeta = FakeMeta()
    hold: threading.Event | None = None
    seconds_per_token: float = 0.0
    batches: list[list[FakeText]] = field(default_factory=list)
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def encode(self, texts: Sequence[str]) -> list[FakeText]:
        limit = self.meta.max_length
        lengths = [len(text.split()) + 2 for text in texts]
        return [
            FakeText(text, min(length, limit), length > limit)
            for text, length in zip(texts, lengths, strict=True)
        ]

    def run(self, batch: Sequence[FakeText]) -> list[int]:
        self.batches.append(list(batch))
        self.running.release()
        if self.hold is not None:
            self.hold.wait(20)
        if self.seconds_per_token:
            padded = len(batch) * max(text.length for text in batch)
            threading.Event().wait(self.seconds_per_token * padded)
        if any("boom" in text.text for text in batch):
            raise ValueError("the secret text of a customer")
        return [zlib.crc32(text.text.encode()) for text in batch]

    def answer(self, encoded: FakeText, logits: int) -> TextAnswer | WordsAnswer:
        if "garble" in encoded.text:
            raise ValueError("no answer")
        if self.meta.task == "token-classification":
            return _words(encoded.text)
        start = logits % len(LABELS)
        names = LABELS[start:] + LABELS[:start]
        return TextAnswer(tuple(zip(names, (0.55, 0.25, 0.15, 0.05), strict=True)))


def _words(text: str) -> WordsAnswer:
    """Capitalised words are places; neighbours make one."""
    words, entities, at = [], [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        inside = bool(words) and words[-1].tag != "O"
        tag = ("I-LOC" if inside else "B-LOC") if word[0].isupper() else "O"
        words.append(TaggedWord(tag, 0.9, word, start, at))
        if tag == "B-LOC":
            entities.append(Entity("LOC", 0.9, word, start, at))
        elif tag == "I-LOC":
            first = entities.pop().start
            entities.append(Entity("LOC", 0.9, text[first:at], first, at))
    return WordsAnswer(tuple(words), tuple(entities))


class Arithmetic:
    """In place of a model: every token has its own random figures; a text has the mean of them."""

    def __init__(self, width: int, *, each: bool, unit: bool) -> None:
        self.table = np.random.default_rng(7).normal(size=(4096, width)).astype(np.float32)
        self.each, self.unit = each, unit

    def run(self, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        rows = self.table[feeds["input_ids"]] * feeds["attention_mask"][..., None]
        if self.each:
            return rows
        mean: np.ndarray = rows.sum(1) / feeds["attention_mask"].sum(1, keepdims=True)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True) if self.unit else 3 * mean


LABELS_OF = {
    "token-classification": ("O", "B-LOC", "I-LOC"),
    "question-answering": ("start", "end"),
    "regression": ("score",),
    "pair-classification": ("contradiction", "entailment", "neutral"),
    "pair-scoring": ("score",),
    "sentence-embedding": (),
}


def tiny_engine(kind: str, folder: Path, *, settings: Mapping[str, Any] | None = None) -> Engine:
    """A real engine of a task, but for its model: a tokenizer whose words are letters, 32 tokens a
    window. It is found under its task's name; `settings` are what would have been tuned on dev."""
    task, labels = task_of(kind), LABELS_OF.get(kind, LABELS)
    file = folder / "tokenizer.json"
    if not file.exists():
        tiny_encoder(folder)
    tokeniser = Tokeniser(
        Tokenizer.from_file(str(file)),
        32,
        windows=task.windows,
        question=task.windows and task.pairs,
    )
    inputs = ("input_ids", "attention_mask")
    meta = Meta(
        kind, 1, kind, labels, 1.0, 32, inputs, 0, "none", "fp32", {}, settings or {}, {}, None
    )
    arithmetic = Arithmetic(
        task.width(labels) or 8, each=task.head in ("tags", "span"), unit=task.head == "vector"
    )
    return Engine(meta, tokeniser, arithmetic)


@dataclass
class DatabaseGate:
    """The gate as `freehold.app` makes it: keys from serve, the record from meter."""

    database: Database
    ring: KeyRing
    server: str = "test"
    clock: Clock = field(default_factory=SystemClock)

    def remembered(self, token: str) -> Caller | None:
        return self.ring.remembered(token)

    def authenticate(self, token: str) -> Caller:
        return self.ring.authenticate(token)

    def hold(self, caller: Caller, inputs: int, tokens: int) -> Hold:
        raise AssertionError("its callers have no limits")

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return events.replay(self.database, caller.customer_id, key, digest)

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        return events.settle(self.database, works, tallies, server=self.server, clock=self.clock)

    def ping(self) -> None:
        with self.database.read() as connection:
            connection.execute(sa.text("SELECT 1"))


@dataclass
class NoGate:
    """Everybody may ask, nothing is kept; `settled` remembers."""

    settled: list[Work] = field(default_factory=list)
    tallies: list[Tally] = field(default_factory=list)
    failure: Exception | None = None

    def remembered(self, token: str) -> Caller | None:
        return Caller("cus_1", "key_1")

    authenticate = remembered

    def hold(self, caller: Caller, inputs: int, tokens: int) -> Hold:
        raise AssertionError("its callers have no limits")

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return None

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        if self.failure is not None:
            raise self.failure
        self.settled.extend(works)
        self.tallies.extend(tallies)
        return [Outcome(work.request_id, Recorded.METERED, work.body) for work in works]

    def ping(self) -> None:
        return None


def add_customer(database: Database, customer_id: str = "cus_1") -> str:
    """A customer with a key, which is returned."""
    clock = SystemClock()
    with database.write() as connection:
        connection.execute(
            schema.customers.insert(),
            {"id": customer_id, "name": customer_id, "created_at": format_time(clock.now())},
        )
    return create_key(database, customer_id, clock)[1]


def batches_of(
    database: Database, folder: Path, *, server: str = "test", lease: float = 15.0, **options: Any
) -> Batches:
    """Batches as `freehold.app` keeps them, by a server of this name."""
    terms = {"keep_days": 7, "most_open": 20} | options
    return Batches(
        database,
        terms.pop("clock", SystemClock()),
        server=server,
        folder=folder / "incoming",
        lease=timedelta(seconds=lease),
        **terms,
    )


def rows(database: Database, table: sa.Table) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(sa.select(table)))


@contextmanager
def serving(
    gate: Any,
    *engines: FakeEngine | Engine,
    settings: Serve = SETTINGS,
    log: TextIO | None = None,
    batches: BatchStore | None = None,
) -> Iterator[ServerThread]:
    """A real server over the engines (one that answers "bank", if none is given)."""
    models = {engine.meta.model: engine for engine in engines or (FakeEngine(),)}
    with ServerThread(models, gate, settings, log=log, batches=batches) as server:
        yield server


def client(server: ServerThread, key: str | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=server.url, headers=headers, timeout=30, trust_env=False)


def connect(server: ServerThread) -> socket.socket:
    """A bare connection, for what no client would send."""
    address = urllib.parse.urlsplit(server.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=20)


def until(met: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something that happens in another thread."""
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
