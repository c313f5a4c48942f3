"""What a canary and its live version do, counted beside the requests: answers, errors, batches.

The event loop and the engine thread only append to a list; a background thread does the sums.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from freehold.clock import Clock, format_time
from freehold.registry.counts import CanaryMinute
from freehold.registry.rule import Figures, size_class
from freehold.registry.spread import Spread
from freehold.serve.batcher import Observer
from freehold.serve.ports import ModelEngine

__all__ = ["Watch"]

_ANSWERED, _FAILED = 200, 500
_MOST = 200_000  # that wait to be counted; more than a server answers while a database hangs
_MINUTE = len("2026-01-01T00:00")
Version = tuple[str, int]


class Watch:
    """An observer of batches that tells `inner` of each, and remembers those of watched versions.

    `answered` is called in the event loop, `batch` in the engine thread, all else in one other.
    """

    def __init__(self, inner: Observer, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._watched: Mapping[Version, int] = {}  # -> the release
        self._answers: deque[tuple[Version, int, float | None]] = deque(maxlen=_MOST)
        self._batches: deque[tuple[Version, int, float]] = deque(maxlen=_MOST)
        self._minutes: dict[tuple[int, int, str], Figures] = {}
        self._changed: set[tuple[int, int, str]] = set()

    def watch(self, versions: Mapping[Version, int]) -> None:
        """Count these (model, version) from now on, each for a release."""
        self._watched = dict(versions)

    def answered(self, model: str, version: int | None, status: int, seconds: float | None) -> None:
        """A request to a model ended with this HTTP status; without `seconds` how long it took is
        not counted."""
        if self._watched and status in (_ANSWERED, _FAILED):
            place = (model, version or 0)
            if place in self._watched:
                self._answers.append((place, status, seconds))

    def batch(
        self, engine: ModelEngine, inputs: int, tokens: int, padded: int, seconds: float
    ) -> None:
        if self._watched:
            place = (engine.meta.model, engine.meta.version)
            if place in self._watched:
                self._batches.append((place, padded, seconds))
        self._inner.batch(engine, inputs, tokens, padded, seconds)

    def settled(self, works: int, seconds: float) -> None:
        self._inner.settled(works, seconds)

    def counted(self) -> list[CanaryMinute]:
        """The minutes that have changed since `recorded`, each with all of it that was seen."""
        minute = format_time(self._clock.now())[:_MINUTE]
        while self._answers:
            place, status, seconds = self._answers.popleft()
            figures = self._figures(place, minute)
            if figures is None:
                continue
            if status == _ANSWERED:
                figures.answers += 1
                if seconds is not None:
                    figures.latencies.add(seconds)
            else:
                figures.errors += 1
        while self._batches:
            place, padded, seconds = self._batches.popleft()
            figures = self._figures(place, minute)
            if figures is not None:
                figures.batches.setdefault(size_class(padded), Spread()).add(seconds)
        return [CanaryMinute(*key, self._minutes[key]) for key in sorted(self._changed)]

    def recorded(self) -> None:
        """What `counted` gave last is in the database; the present minute may still change."""
        minute = format_time(self._clock.now())[:_MINUTE]
        self._changed.clear()
        self._minutes = {key: value for key, value in self._minutes.items() if key[2] >= minute}

    def _figures(self, place: Version, minute: str) -> Figures | None:
        release = self._watched.get(place)
        if release is None:
            return None
        key = (release, place[1], minute)
        self._changed.add(key)
        return self._minutes.setdefault(key, Figures())
