"""Trials of a search in parallel on Ray: the only file that knows Ray.

Each worker is an actor with two threads: one trains, the other answers the driver, which asks every
worker in turn for its news. After each epoch a trial waits for the driver's word, so that hopeless
trials end where they would end in one process.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import freehold
from freehold.errors import FreeholdError, MissingDependencyError, TrainError
from freehold.train.progress import Progress
from freehold.train.search.conduct import Conductor
from freehold.train.search.trial import Ended, Material, Spec, run_trial
from freehold.train.stopping import Stop

__all__ = ["run_on_ray", "started"]

OBJECT_STORE = 100 << 20  # bytes; what is passed is token ids and scores
POLL = 0.05  # seconds between two rounds of asking for news


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error as a value: exceptions with arguments of their own do not survive the way back."""

    message: str
    hint: str | None = None


class _Worker:
    """Runs trials one after another; `news` is asked from the actor's other thread."""

    def __init__(self, material: Material, threads: int) -> None:
        self._material, self._threads = material, threads
        self._told: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._answered = threading.Event()
        self._number, self._stop = -1, False

    def run(self, spec: Spec) -> Ended | _Failed:
        self._number, self._stop = spec.number, False
        recipe = replace(spec.recipe, threads=spec.recipe.threads or self._threads)
        try:
            return run_trial(
                self._material,
                replace(spec, recipe=recipe),
                on_progress=self._tell,
                should_stop=lambda: self._stop,
            )
        except FreeholdError as error:
            return _Failed(error.message, error.hint)
        except Exception as error:  # noqa: BLE001 # any error has to reach the driver
            return _Failed(f"A worker failed: {type(error).__name__}: {error}")

    def news(self) -> list[Progress]:
        """What was told since the last time; a score, if any, comes last and waits for `answer`."""
        found = []
        while not self._told.empty():
            found.append(self._told.get())
        return found

    def answer(self, number: int, *, stop: bool, heard: bool) -> None:
        """Whether trial `number` should end; one that waits goes on if its score was `heard`."""
        if number != self._number:  # of the trial before, and late
            return
        self._stop = stop
        if heard:
            self._answered.set()

    def _tell(self, progress: Progress) -> None:
        self._answered.clear()
        self._told.put(progress)
        if progress.score is not None:
            self._answered.wait()


@contextmanager
def started(address: str, workers: int) -> Iterator[Any]:
    """Ray, connected to `address` or (where that is empty) started on this machine's cores, and
    left without a trace at the end.

    Raises MissingDependencyError, and TrainError where it cannot be reached or is too small.
    """
    try:
        import ray
    except ImportError:
        raise MissingDependencyError("ray", "ray", "The runner ray") from None
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Ray's sockets are below this folder, and a socket's path has at most some 100 bytes.
    folder = tempfile.mkdtemp(prefix="fh-")
    try:
        try:
            ray.init(**_options(address, workers, folder))
        except Exception as error:
            where = f"Ray at {address}" if address else "A local Ray"
            first = str(error).strip().partition("\n")[0]
            raise TrainError(
                f"{where} cannot be used: {first or type(error).__name__}.",
                hint="See [train] ray_address in freehold.toml.",
            ) from error
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        there = int(resources.get("CPU", 0))
        if there < workers:
            raise TrainError(
                f"Ray has {there} processors, but {workers} workers need one each.",
                hint="Give a smaller --workers.",
            )
        yield ray
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def _options(address: str, workers: int, folder: str) -> dict[str, Any]:
    source = str(Path(freehold.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    options: dict[str, Any] = {
        "address": address or "local",
        "log_to_driver": False,
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": {"PYTHONPATH": path}},
    }
    if not address:
        options |= {
            "num_cpus": max(workers, os.cpu_count() or 1),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
            "_temp_dir": folder,
        }
    return options


def run_on_ray(
    conductor: Conductor,
    material: Material,
    *,
    workers: int,
    address: str,
    stop: Stop,
    on_progress: Callable[[int, Progress], None],
) -> None:
    """Run what the conductor asks for, `workers` trials at a time, until it asks for nothing more.

    Each trial holds (and is charged) its part of a machine. Raises TrainError with a worker's own
    sentence where it failed.
    """
    with started(address, workers) as ray:
        cores = max(1, (os.cpu_count() or 1) // workers)
        actor = ray.remote(num_cpus=1, max_concurrency=2)(_Worker)
        shared = ray.put(material)
        idle = [actor.remote(shared, cores) for _ in range(workers)]
        running: dict[Any, tuple[Any, Spec]] = {}
        while True:
            while idle and (spec := conductor.begin(share=1 / workers)) is not None:
                worker = idle.pop()
                running[worker.run.remote(spec)] = worker, spec
            if not running:
                return
            done, _ = ray.wait(list(running), timeout=POLL)
            for worker, spec in running.values():
                _hear(ray, conductor, worker, spec, on_progress)
            for ref in done:
                worker, spec = running.pop(ref)
                idle.append(worker)
                if not conductor.end(spec.number, _outcome(ray, ref, spec)):
                    stop.asked = True


def _hear(
    ray: Any,
    conductor: Conductor,
    worker: Any,
    spec: Spec,
    on_progress: Callable[[int, Progress], None],
) -> None:
    news = _got(ray, worker.news.remote())
    for progress in news:
        if progress.score is not None:
            conductor.epoch(spec.number, progress.epoch, progress.score)
        on_progress(spec.number, progress)
    heard = any(progress.score is not None for progress in news)
    worker.answer.remote(spec.number, stop=conductor.stopping(spec.number), heard=heard)


def _outcome(ray: Any, ref: Any, spec: Spec) -> Ended:
    found = _got(ray, ref)
    if isinstance(found, _Failed):
        raise TrainError(found.message, hint=found.hint)
    assert isinstance(found, Ended)
    if found.facts and not (spec.folder / "freehold.json").exists():
        raise TrainError(
            f"The checkpoint of trial {spec.number} was written on another machine.",
            hint="The project's folder has to be the same on every machine of the cluster.",
        )
    return found


def _got(ray: Any, ref: Any) -> Any:
    try:
        return ray.get(ref)
    except ray.exceptions.RayError as error:
        raise TrainError(
            f"A Ray worker was lost ({type(error).__name__}).",
            hint="Memory may have run out: give a smaller --workers.",
        ) from error
