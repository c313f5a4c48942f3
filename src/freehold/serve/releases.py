"""Loading and unloading under traffic: a server follows what is promoted, tried and taken back.

One thread asks every few seconds what should be loaded, opens what is new, and only then puts the
table of routes in place of the old one. Requests that were begun keep the engine they were given,
so nothing has to wait, and an engine is gone when its last request is answered. The same thread
writes down what canaries and shadows did, and takes back a canary when its rule says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from freehold.clock import Clock
from freehold.errors import FreeholdError, StoreError
from freehold.registry.counts import CanaryMinute, ShadowDay
from freehold.registry.trials import Trial
from freehold.registry.wanted import Wanted
from freehold.serve.batcher import Observer
from freehold.serve.ports import Caller, ModelEngine
from freehold.serve.routes import Place, Table, table_of
from freehold.serve.shadow import Shadows
from freehold.serve.watch import Watch

__all__ = ["Releases", "Source"]

_log = logging.getLogger("freehold.serve")
_FIRST_RETRY, _LAST_RETRY = 10.0, 600.0  # seconds until a bundle that failed is tried again


class Source(Protocol):
    """Where it is decided what a server loads. Called in one thread; all may raise StoreError."""

    def wanted(self) -> Sequence[Wanted]:
        """What should be loaded now."""
        ...

    def open(self, wanted: Wanted) -> ModelEngine:
        """Open a version and try it. May raise anything."""
        ...

    def record(self, minutes: Sequence[CanaryMinute], days: Sequence[ShadowDay]) -> None:
        """Write down what this server has counted, in place of what it wrote before."""
        ...

    def judge(self, trial: Trial) -> str | None:
        """Take a canary back if its rule says so: the reason, if it was this call that did."""
        ...


@dataclass(frozen=True, slots=True)
class _Failure:
    sentence: str
    tries: int
    again_at: float  # on the monotonic clock


class Releases:
    """What a server has loaded, and who is answered by what. `find` and what else is asked for each
    request runs in the event loop, all else in the thread that follows `source`."""

    def __init__(
        self,
        models: Mapping[str, ModelEngine],
        source: Source | None,
        observer: Observer,
        clock: Clock,
        seconds: float,
    ) -> None:
        """`models`, by the name in the path, are live until the source says otherwise, for good
        where there is none; it is asked every so many `seconds`."""
        self.table = Table.of(models)
        self.watch = Watch(observer, clock)
        self._source = source
        self._clock = clock
        self._seconds = seconds
        self._engines: dict[Place, ModelEngine] = {}
        self._failures: dict[Place, _Failure] = {}
        self._wanted: tuple[Wanted, ...] | None = None
        self._deaf = False
        self._shadows: Shadows | None = None
        self.shadowing = False  # whether any model has a shadow
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    # In the event loop.

    def find(self, name: str, caller: Caller) -> ModelEngine:
        """The engine that answers a name, for a caller. Raises NotFoundError, and ForbiddenError
        where the caller's key is for other models."""
        return self.table.route(name).engine(caller)

    def find_live(self, name: str, caller: Caller) -> ModelEngine:
        """As `find`, without canaries: for a request that one has failed."""
        engine = self.table.route(name).live
        caller.require(engine.meta.model, engine.meta.version)
        return engine

    def shadow(
        self, engine: ModelEngine, texts: Sequence[Any], logits: Sequence[Any], compute_us: int
    ) -> None:
        """A request was answered by this engine: let its shadow answer it too, if it has one."""
        route = self.table.named.get(engine.meta.model)
        if route is None or route.beside is None or route.live is not engine:
            return
        if self._shadows is not None:
            self._shadows.offer(engine, route.beside, texts, logits, compute_us)

    # Beginning and end.

    def start(self, aside: Callable[[Callable[[], None]], bool]) -> None:
        """Load what is wanted, then go on following. `aside` is the batcher's."""
        if self._source is None:
            return
        self._shadows = Shadows(aside, self._clock)
        self.follow()
        self._thread = threading.Thread(target=self._run, name="freehold-releases", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Look for changes now; from any thread and from a signal's handler."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and write down what was counted last."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._shadows is not None:
            self._shadows.stop()
            self._guarded(self.count)

    # The thread.

    def _run(self) -> None:
        while True:
            self._wake.wait(self._seconds)
            self._wake.clear()
            if self._stopping:
                return
            self._guarded(self.count, self.judge, self.follow)

    def _guarded(self, *steps: Callable[[], None]) -> None:
        """What was loaded goes on answering, whatever happens here."""
        try:
            for step in steps:
                step()
        except StoreError as error:
            if not self._deaf:
                _log.warning("releases are not followed for now: %s", error.message)
            self._deaf = True
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("following releases failed", exc_info=error)
        else:
            self._deaf = False

    def follow(self) -> None:
        """Load what is wanted by now, and let go of what is not. Raises StoreError."""
        assert self._source is not None
        wanted = tuple(self._source.wanted())
        retry = [item.place for item in wanted if self._may_try(item.place)]
        if wanted == self._wanted and not retry:
            return
        if self._wanted is None:
            self._adopt(wanted)
        for item in wanted:
            if item.place not in self._engines and self._may_try(item.place):
                self._open(self._source, item)
        self._swap(wanted)

    def count(self) -> None:
        """Write down what canaries and shadows did. Raises StoreError."""
        assert self._source is not None
        minutes = self.watch.counted()
        days = self._shadows.counted() if self._shadows is not None else []
        if minutes or days:
            self._source.record(minutes, days)
        self.watch.recorded()
        if self._shadows is not None:
            self._shadows.recorded(days)

    def judge(self) -> None:
        """Take back canaries whose rule says so. Raises StoreError."""
        assert self._source is not None
        for route in self.table.named.values():
            if route.canary is None:
                continue
            trial = route.canary.trial
            reason = self._source.judge(trial)
            if reason is not None:
                _log.warning("%s is taken back: %s", trial.name, reason)

    def _adopt(self, wanted: Sequence[Wanted]) -> None:
        """Take the engines that the server was started with for what they are."""
        known = {(e.engine.meta.model, e.engine.meta.version): e.engine for e in self.table.loaded}
        for item in wanted:
            engine = known.get((item.model, item.version))
            if engine is not None:
                self._engines[item.place] = engine

    def _may_try(self, place: Place) -> bool:
        if place in self._engines:
            return False
        failure = self._failures.get(place)
        return failure is None or failure.again_at <= self._clock.monotonic()

    def _open(self, source: Source, item: Wanted) -> None:
        try:
            engine = source.open(item)
            if (engine.meta.model, engine.meta.version) != (item.model, item.version):
                raise ValueError(f"it is {engine.meta.model}@{engine.meta.version}")
            self._engines[item.place] = engine
            self._failures.pop(item.place, None)
        except Exception as error:  # noqa: BLE001 - what is loaded goes on answering
            before = self._failures.get(item.place)
            tries = before.tries + 1 if before else 1
            wait = min(_LAST_RETRY, _FIRST_RETRY * 2 ** (tries - 1))
            sentence = f"{item.name} could not be opened, so it is not loaded; the log says why."
            again_at = self._clock.monotonic() + wait
            self._failures[item.place] = _Failure(sentence, tries, again_at)
            known = isinstance(error, FreeholdError)
            said = error.sentence() if isinstance(error, FreeholdError) else "see below"
            _log.error(
                "%s could not be opened as %s: %s", item.name, item.stage, said,
                exc_info=None if known else error,
            )  # fmt: skip

    def _swap(self, wanted: tuple[Wanted, ...]) -> None:
        places = {item.place for item in wanted}
        self._failures = {p: failure for p, failure in self._failures.items() if p in places}
        troubles = {
            item.name: self._failures[item.place].sentence
            for item in wanted
            if item.place in self._failures
        }
        before, self._wanted = self.table, wanted
        table = table_of(wanted, self._engines, before, troubles)
        self.watch.watch(_watched(table))
        self.shadowing = any(route.beside for route in table.named.values())
        self.table = table  # at once for all requests that come from now on
        used = {id(item.engine) for item in table.loaded}
        self._engines = {p: e for p, e in self._engines.items() if p in places or id(e) in used}
        _say(before, table)


def _watched(table: Table) -> dict[tuple[str, int], int]:
    """Canaries and their live versions, with the release that they are counted for."""
    found = {}
    for route in table.named.values():
        if route.canary is not None:
            for engine in (route.live, route.canary.engine):
                found[engine.meta.model, engine.meta.version] = route.canary.trial.id
    return found


def _say(before: Table, after: Table) -> None:
    def stages(table: Table) -> dict[str, str]:
        return {
            f"{item.engine.meta.model}@{item.engine.meta.version}": ", ".join(item.stages)
            for item in table.loaded
        }

    old, new = stages(before), stages(after)
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            _log.info("%s: %s, was %s", name, new.get(name, "unloaded"), old.get(name, "unloaded"))
