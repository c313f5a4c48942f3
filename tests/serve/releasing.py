"""A project whose versions are fake engines, followed by real servers, for tests of releases."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import httpx
import numpy as np
from serving import LABELS, SETTINGS, FakeMeta, FakeText

from freehold.app import App
from freehold.app.follow import ProjectSource
from freehold.app.sell import ProjectGate, add_customer
from freehold.clock import SystemClock
from freehold.errors import IntegrityError
from freehold.project import PlanTerms, Project, Release, Serve
from freehold.registry import Registry, Version
from freehold.registry.wanted import Wanted
from freehold.serve.server import ServerThread
from freehold.store.database import Database
from freehold.tasks.answers import TextAnswer

FOLLOWING = replace(SETTINGS, follow_seconds=0.1)


class EngineClock(SystemClock):
    """A clock for durations that only moves while an engine runs, whatever the machine does."""

    elapsed = 0.0

    def monotonic(self) -> float:
        return self.elapsed


@dataclass
class VersionEngine:
    """Answers with the label of its version's number first; `fails` says which batches break,
    `seconds` how long each takes on the `clock`, `other` which share of texts it sees otherwise
    than version 1."""

    version: int
    model: str = "bank"
    fails: Callable[[], bool] | None = None
    seconds: float = 0.0
    clock: EngineClock | None = None
    other: float = 0.0
    hold: threading.Event | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    labels: tuple[str, ...] = LABELS

    def __post_init__(self) -> None:
        self.meta = FakeMeta(model=self.model, version=self.version, labels=self.labels)

    def encode(self, texts: Sequence[str]) -> list[FakeText]:
        return [FakeText(text, min(len(text.split()) + 2, 64)) for text in texts]

    def run(self, batch: Sequence[FakeText]) -> list[np.ndarray]:
        self.ran.extend(text.text for text in batch)
        if self.hold is not None:
            self.hold.wait(20)
        if self.clock is not None:
            self.clock.elapsed += self.seconds
        if self.fails is not None and self.fails():
            raise ValueError("this version is broken")
        return [self._logits(text.text) for text in batch]

    def answer(self, encoded: FakeText, logits: np.ndarray) -> TextAnswer:
        scores = [(f"v{self.version}", 0.9), *((label, 0.02) for label in self.labels)]
        return TextAnswer(tuple(scores))

    def agrees(self, text: str) -> bool:
        """Whether it sees this text as version 1 does."""
        return (zlib.crc32(text.encode()) >> 8) % 1000 >= self.other * 1000

    def _logits(self, text: str) -> np.ndarray:
        number = zlib.crc32(text.encode())
        label = number % 4 if self.agrees(text) else (number + 1) % 4
        row = np.zeros(len(self.labels), np.float32)
        row[self.labels.index(LABELS[label])] = 1.0
        return row


class FakeSource(ProjectSource):
    """As the project's, but engines come from `makers`, by MODEL@VERSION; without one a version
    cannot be opened."""

    def __init__(self, app: App, makers: dict[str, Callable[[], Any]]) -> None:
        super().__init__(app, None)
        self.makers = makers
        self.opened: list[str] = []

    def open(self, wanted: Wanted) -> Any:
        self.opened.append(wanted.name)
        if wanted.name not in self.makers:
            raise IntegrityError(f"{wanted.name} is not the file that was exported.")
        return self.makers[wanted.name]()


class Venture:
    """A project with exported versions, customers and a gate."""

    def __init__(self, database: Database, folder: Path, **release: Any) -> None:
        project = Project(
            root=folder,
            name="bank",
            release=Release(**release),
            plans=(PlanTerms(name="starter", price=Decimal("0.01")),),
        )
        clock = SystemClock()
        self.app = App(project, database, Registry(database, folder / "state", clock), clock)
        self.folder = folder
        self.makers: dict[str, Callable[[], Any]] = {}
        self.keys: dict[str, str] = {}

    @property
    def registry(self) -> Registry:
        return self.app.registry

    def add(self, engine: VersionEngine | None = None, model: str = "bank") -> Version:
        """An exported version; without an engine one whose bundle cannot be opened."""
        files = self.folder / "files"
        files.mkdir(exist_ok=True)
        (files / "model.onnx").write_text(f"{model} {len(self.makers)}")
        version = self.registry.add(
            model=model,
            task="text-classification",
            labels=LABELS,
            folder=files,
            lineage={"data": {}},
            metrics={},
            train_seconds=1.0,
            examples=1,
            train_cost=Decimal(0),
            label_cost=Decimal(0),
            currency="EUR",
        )
        self.registry.add_bundle(version, files, engine="onnxruntime", precision="fp32", report={})
        if engine is not None:
            self.makers[version.name] = lambda: engine
        return version

    def customer(self, name: str) -> str:
        """A customer's id; the key is kept."""
        customer, key = add_customer(self.app, name, "starter")
        self.keys[customer.id] = key
        return customer.id

    def source(self) -> FakeSource:
        return FakeSource(self.app, self.makers)

    @contextmanager
    def serving(
        self,
        settings: Serve = FOLLOWING,
        log: TextIO | None = None,
        source: FakeSource | None = None,
        server: str = "test",
        clock: EngineClock | None = None,
    ) -> Iterator[ServerThread]:
        """A server that follows the project."""
        gate = ProjectGate(self.app.database, self.app.clock, server=server)
        source = source or self.source()
        with ServerThread({}, gate, settings, clock=clock, log=log, source=source) as running:
            yield running


def first(response: httpx.Response) -> str:
    """The likeliest label of the first input: which version answered."""
    assert response.status_code == 200, response.text
    label: str = response.json()[0][0]["label"]
    return label
