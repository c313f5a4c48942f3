"""Trials of a search in parallel on Ray.

After each epoch a trial waits for the driver's word, so that hopeless trials end where they would
end in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from freehold.errors import TrainError
from freehold.train.progress import Progress
from freehold.train.runner_ray import Failed, Talks, Worker, actor_of, cores_each, started
from freehold.train.search.conduct import Conductor
from freehold.train.search.trial import Ended, Material, Spec, run_trial
from freehold.train.stopping import Stop

__all__ = ["run_on_ray"]


class Trier(Worker):
    """Runs trials one after another."""

    def __init__(self, material: Material, threads: int) -> None:
        super().__init__(waits=True)
        self._material, self._threads = material, threads

    def run(self, spec: Spec) -> Ended | Failed:
        recipe = replace(spec.recipe, threads=spec.recipe.threads or self._threads)
        return self._work(
            lambda: run_trial(
                self._material,
                replace(spec, recipe=recipe),
                on_progress=self._tell,
                should_stop=self._should_stop,
            )
        )


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

    Each trial holds (and is charged) its part of a machine. A trial whose worker is lost is a
    failed one, and another worker takes the place. Raises TrainError with a worker's own sentence
    where it failed.
    """
    with started(address, workers) as ray:
        actor = actor_of(ray, Trier)
        shared = ray.put(material)

        def hire() -> Any:
            return actor.remote(shared, cores_each(workers))

        idle = [hire() for _ in range(workers)]
        running: dict[int, tuple[Any, Spec]] = {}
        talks: Talks[int] = Talks(ray)

        def told(number: int, progress: Progress) -> None:
            if progress.score is not None:
                conductor.epoch(number, progress.epoch, progress.score)
            on_progress(number, progress)

        while True:
            while idle and (spec := conductor.begin(share=1 / workers)) is not None:
                worker = idle.pop()
                running[spec.number] = worker, spec
                talks.begin(spec.number, worker, worker.run.remote(spec))
            if not running:
                return
            for number, result in talks.hear(told, conductor.stopping):
                worker, spec = running.pop(number)
                lost = isinstance(result, Failed) and result.lost
                idle.append(hire() if lost else worker)
                if not conductor.end(number, ended(result, spec)):
                    stop.asked = True


def ended(result: Ended | Failed, spec: Spec) -> Ended:
    """What a trial came to. Raises TrainError with the worker's own sentence where it failed."""
    if isinstance(result, Failed):
        if result.lost:
            return Ended({}, 0.0, interrupted=False, why=result.message)
        raise TrainError(result.message, hint=result.hint)
    if result.facts and not (spec.folder / "freehold.json").exists():
        raise TrainError(
            f"The checkpoint of trial {spec.number} was written on another machine.",
            hint="The project's folder has to be the same on every machine of the cluster.",
        )
    return result
