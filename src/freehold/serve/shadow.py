"""The same texts on a version that nobody sees: run while the engine is idle, compared, counted."""

from __future__ import annotations

import logging
import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from freehold.clock import Clock, format_time
from freehold.registry.counts import ShadowDay
from freehold.registry.trials import WHOLE, Trial
from freehold.serve.ports import ModelEngine
from freehold.tasks.registry import task_of

__all__ = ["Shadows", "agreement"]

_log = logging.getLogger("freehold.serve")
_WAITING = 32  # requests that wait for their shadow; more are not run at all
# A request that comes while a shadow's batch runs waits for its end, so that batch is kept short.
_MOST_TOKENS = 256
# Some tasks compare an answer with the range of others (regression), which one text has not.
_BLOCK = 32
_BLOCK_SECONDS = 30.0
_DAY = len("2026-01-01")
_UNLIKELY = -1e4  # a logit for a label that a version does not have


@dataclass(frozen=True, slots=True)
class _Seen:
    """An answered request: its inputs, the live version's logits and what they took."""

    live: ModelEngine
    shadow: ModelEngine
    trial: Trial
    texts: Sequence[Any]
    logits: Sequence[Any]
    compute_us: int


@dataclass(slots=True)
class _Block:
    """Logits that are to be compared together."""

    live: ModelEngine
    shadow: ModelEngine
    trial: Trial
    since: float
    ones: list[Any] = field(default_factory=list)
    others: list[Any] = field(default_factory=list)


class Shadows:
    """One thread that takes what was answered and runs it again; `aside` runs a call in the engine
    thread once nothing else waits there, False if it will not."""

    def __init__(self, aside: Callable[[Callable[[], None]], bool], clock: Clock) -> None:
        self._aside = aside
        self._clock = clock
        self._seen: queue.Queue[_Seen | None] = queue.Queue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._days: dict[tuple[int, str], ShadowDay] = {}
        self._changed: set[tuple[int, str]] = set()
        self._blocks: dict[int, _Block] = {}
        self._thread = threading.Thread(target=self._run, name="freehold-shadow", daemon=True)

    def offer(
        self,
        live: ModelEngine,
        beside: tuple[ModelEngine, Trial],
        texts: Sequence[Any],
        logits: Sequence[Any],
        compute_us: int,
    ) -> None:
        """Hand over an answered request, for the event loop: it never waits."""
        shadow, trial = beside
        drawn = random.randrange(WHOLE) < trial.terms.share  # noqa: S311 - no secret
        if drawn and self._seen.qsize() < _WAITING:
            if not self._thread.is_alive() and not self._stopping.is_set():
                self._thread.start()
            self._seen.put(_Seen(live, shadow, trial, texts, logits, compute_us))

    def stop(self) -> None:
        """Compare what was run, and end the thread; what waits is not run any more."""
        self._stopping.set()
        self._seen.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def counted(self) -> list[ShadowDay]:
        """The days that have changed since `recorded`, with all that this server did on each."""
        with self._lock:
            return [self._days[key] for key in sorted(self._changed)]

    def recorded(self, days: Sequence[ShadowDay]) -> None:
        """These are in the database."""
        with self._lock:
            for day in days:
                if self._days.get((day.release_id, day.day)) is day:
                    self._changed.discard((day.release_id, day.day))

    # Its thread.

    def _run(self) -> None:
        while True:
            try:
                seen = self._seen.get(timeout=_BLOCK_SECONDS)
            except queue.Empty:
                seen = None
            if self._stopping.is_set():
                break
            if seen is not None:
                try:
                    self._again(seen)
                except Exception as error:  # noqa: BLE001 - a shadow harms nobody, whatever it does
                    _log.error("the shadow %s failed", seen.trial.name, exc_info=error)
                    self._count(seen.trial, failed=1)
            now = self._clock.monotonic()
            for block in list(self._blocks.values()):
                if now - block.since >= _BLOCK_SECONDS:
                    self._compare(block)
        for block in list(self._blocks.values()):
            self._compare(block)

    def _again(self, seen: _Seen) -> None:
        encoded = _short(seen.shadow.encode(seen.texts))
        done = threading.Event()
        result: list[tuple[Sequence[Any], float] | Exception] = []

        def call() -> None:
            started = self._clock.monotonic()
            try:
                rows = seen.shadow.run(encoded)
                result.append((rows, max(0.0, self._clock.monotonic() - started)))
            except Exception as error:  # noqa: BLE001 - raised where it is counted
                result.append(error)
            done.set()

        if not self._aside(call):
            return
        while not done.wait(0.2):
            if self._stopping.is_set():
                return
        (found,) = result
        if isinstance(found, Exception):
            raise found
        rows, seconds = found
        self._count(
            seen.trial,
            runs=1,
            inputs=len(encoded),
            tokens=sum(text.length for text in encoded),
            compute_us=round(seconds * 1e6),
            live_compute_us=seen.compute_us * len(encoded) // len(seen.texts),
        )
        block = self._blocks.get(seen.trial.id)
        if block is None:
            block = _Block(seen.live, seen.shadow, seen.trial, self._clock.monotonic())
            self._blocks[seen.trial.id] = block
        block.ones.extend(seen.logits[: len(encoded)])
        block.others.extend(rows)
        if len(block.ones) >= _BLOCK:
            self._compare(block)

    def _compare(self, block: _Block) -> None:
        del self._blocks[block.trial.id]
        try:
            share = agreement(block.live, block.shadow, block.ones, block.others)
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("the shadow %s cannot be compared", block.trial.name, exc_info=error)
            return
        count = len(block.ones)
        self._count(block.trial, compared=count, agreed=share * count)

    def _count(self, trial: Trial, **counts: float) -> None:
        key = (trial.id, format_time(self._clock.now())[:_DAY])
        with self._lock:
            day = self._days.get(key)
            if day is None:
                day = ShadowDay(*key, trial.model, trial.version, trial.against or 0)
            sums: dict[str, Any] = {name: getattr(day, name) + n for name, n in counts.items()}
            self._days[key] = replace(day, **sums)
            self._changed.add(key)


def agreement(
    live: ModelEngine, shadow: ModelEngine, ones: Sequence[Any], others: Sequence[Any]
) -> float:
    """Share of decisions in which two versions agree, as their task counts it, each with what was
    tuned for it, and labels by their names."""
    task = task_of(live.meta.task)
    labels = tuple(dict.fromkeys((*live.meta.labels, *shadow.meta.labels)))
    return task.agreement(
        [_onto(task.neutral(row, live.settings), live.meta.labels, labels) for row in ones],
        [_onto(task.neutral(row, shadow.settings), shadow.meta.labels, labels) for row in others],
        labels,
        {},
    )


def _onto(row: Any, own: Sequence[str], labels: Sequence[str]) -> Any:
    """Logits (…, own labels) as logits (…, labels)."""
    if tuple(own) == tuple(labels) or row.shape[-1] != len(own):
        return row
    wide = np.full((*row.shape[:-1], len(labels)), _UNLIKELY, np.float32)
    wide[..., [labels.index(label) for label in own]] = row
    return wide


def _short(encoded: Sequence[Any]) -> Sequence[Any]:
    """The first texts, as many as one short batch holds."""
    longest = 0
    for count, text in enumerate(encoded, start=1):
        longest = max(longest, text.length)
        if count > 1 and count * longest > _MOST_TOKENS:
            return encoded[: count - 1]
    return encoded
