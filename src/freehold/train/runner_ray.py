"""Ray started, talked with, and left without a trace: the only file that imports it.

A worker is an actor with two threads. One does the work; the other keeps up a talk with the driver,
who hears how far the work is and answers whether it should end. A worker that is gone breaks the
talk off, and so is noticed. `freehold.train.parallel` trains so, `freehold.train.search.parallel`
searches.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from freehold.cluster import QUIET, first_line, folder, options, unreachable
from freehold.errors import FreeholdError, MissingDependencyError, TrainError
from freehold.train.progress import Progress

__all__ = ["Failed", "Talks", "Worker", "actor_of", "cores_each", "here", "started"]

ANSWER = 0.2  # seconds that a worker waits for something to tell
_WHERE = (
    "See [train] ray_address in freehold.toml; a cluster that asks for a token takes it from Ray's "
    "own RAY_AUTH_MODE and RAY_AUTH_TOKEN."
)

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Failed:
    """An error as a value: exceptions with arguments of their own do not survive the way back."""

    message: str
    hint: str | None = None
    lost: bool = False  # the worker is gone
    alone: bool = False  # the worker found that another one is gone


class Worker:
    """What an actor needs for the talk. `work` runs in one thread, `exchange` in another."""

    def __init__(self, *, waits: bool) -> None:
        """Whether the work `waits` for the driver's answer after each dev score."""
        self._waits = waits
        self._told: queue.SimpleQueue[Progress | None] = queue.SimpleQueue()
        self._answered = threading.Event()
        self._stop = False

    def exchange(self, *, stop: bool, heard: bool) -> list[Progress | None]:
        """Take the driver's word: whether to stop, and whether a score was `heard`. Returns what
        was told since, at the end None; waits a moment if that is nothing."""
        self._stop = stop
        if heard:
            self._answered.set()
        found: list[Progress | None] = []
        try:
            found.append(self._told.get(timeout=ANSWER))
            while not self._told.empty():
                found.append(self._told.get())
        except queue.Empty:
            pass
        return found

    def _work(self, work: Callable[[], T]) -> T | Failed:
        self._stop = False
        try:
            return work()
        except FreeholdError as error:
            return Failed(error.message, error.hint)
        except Exception as error:  # noqa: BLE001 # any error has to reach the driver
            return Failed(f"A worker failed: {type(error).__name__}: {first_line(error)}")
        finally:
            self._told.put(None)

    def _tell(self, progress: Progress) -> None:
        self._answered.clear()
        self._told.put(progress)
        if self._waits and progress.score is not None:
            self._answered.wait()

    def _should_stop(self) -> bool:
        return self._stop


class Talks(Generic[Key]):
    """The driver's side: the talks with all workers that are at work, each under a key."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._working: dict[Key, tuple[Any, Any]] = {}
        self._asked: dict[Any, Key] = {}

    def __bool__(self) -> bool:
        return bool(self._working)

    def begin(self, key: Key, worker: Any, work: Any) -> None:
        """`work` is the reference that the worker's own method gave."""
        self._working[key] = worker, work
        self._ask(key, stop=False, heard=False)

    def hear(
        self, told: Callable[[Key, Progress], None], stopping: Callable[[Key], bool]
    ) -> list[tuple[Key, Any]]:
        """Wait a moment for news, pass it on, and answer it with what `stopping` says. Returns the
        work that ended, with its result or a Failed."""
        ended = []
        ready, _ = self._ray.wait(list(self._asked), timeout=ANSWER)
        for ref in ready:
            key = self._asked.pop(ref)
            try:
                news = self._ray.get(ref)
                over = None in news
                for progress in news:
                    if progress is not None:
                        told(key, progress)
                result = self._ray.get(self._working[key][1]) if over else None
            except self._ray.exceptions.RayError as error:
                over, result = True, _lost(error)
            if over:
                del self._working[key]
                ended.append((key, result))
            else:
                scored = any(one.score is not None for one in news)
                self._ask(key, stop=stopping(key), heard=scored)
        return ended

    def _ask(self, key: Key, *, stop: bool, heard: bool) -> None:
        worker, _ = self._working[key]
        self._asked[worker.exchange.remote(stop=stop, heard=heard)] = key


@contextmanager
def started(address: str, workers: int) -> Iterator[Any]:
    """Ray, connected to `address` or (where that is empty) started on this machine's cores, and
    left without a trace at the end.

    Raises MissingDependencyError, and TrainError where it cannot be reached or has no room.
    """
    os.environ |= QUIET
    try:
        import ray
    except ImportError:
        raise MissingDependencyError("ray", "ray", "The runner ray") from None
    if (why := unreachable(address)) is not None:
        raise TrainError(
            f"Ray at {address} cannot be reached: {first_line(why)}.", hint=_WHERE
        ) from why
    with folder() as kept:
        try:
            try:
                ray.init(**options(address, workers, kept))
            except Exception as error:
                where = f"Ray at {address}" if address else "A local Ray"
                raise TrainError(
                    f"{where} cannot be used: {first_line(error) or type(error).__name__}.",
                    hint=_WHERE,
                ) from error
            _require_room(ray, workers)
            yield ray
        finally:
            ray.shutdown()


def actor_of(ray: Any, worker: type[Worker]) -> Any:
    """The class as an actor of one processor, with a thread for the work and one for the talk."""
    return ray.remote(num_cpus=1, max_concurrency=2)(worker)


def cores_each(workers: int) -> int:
    """Threads of each worker, where nothing else is said: its part of the cores."""
    return max(1, (os.cpu_count() or 1) // workers)


def here() -> str:
    """The address of this machine within the cluster."""
    import ray

    util: Any = ray.util
    return str(util.get_node_ip_address())


def _require_room(ray: Any, workers: int) -> None:
    there = int(ray.cluster_resources().get("CPU", 0))
    if there < workers:
        raise TrainError(
            f"Ray has {there} processors, but {workers} workers need one each.",
            hint="Give a smaller --workers.",
        )
    free = int(ray.available_resources().get("CPU", 0))
    if free < workers:
        raise TrainError(
            f"Only {free} of Ray's {there} processors are free, but {workers} workers need one "
            "each.",
            hint="Wait for what is running there, or give a smaller --workers.",
        )


def _lost(error: Exception) -> Failed:
    return Failed(
        f"A Ray worker was lost ({type(error).__name__}).",
        "Memory may have run out: give a smaller --workers.",
        lost=True,
    )
