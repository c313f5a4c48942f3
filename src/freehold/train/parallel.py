"""Data-parallel training on Ray: each worker learns from its share of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import state
from freehold.train.encoders import EncoderFiles, find
from freehold.train.finetune import FitResult, fit, require_usable
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.runner_ray import Failed, Talks, Worker, actor_of, cores_each, here, started
from freehold.train.stopping import Stop, stoppable
from freehold.train.team import LostError, Team, meeting_place

__all__ = ["fit_on_ray"]

LOCAL = "127.0.0.1"
START = 300.0  # seconds until Ray has to have started a worker
GRACE = 60.0  # seconds that the others have to write down what they have, once one is gone


@dataclass(frozen=True, slots=True)
class _Job:
    """What all workers are given alike."""

    train: Dataset
    dev: Dataset
    recipe: Recipe
    files: EncoderFiles
    out: Path
    resume: bool
    hold: bool


class Member(Worker):
    """One process of a team."""

    def __init__(self, rank: int, size: int, *, local: bool) -> None:
        super().__init__(waits=False)
        self._rank, self._size = rank, size
        self._host = LOCAL if local else here()
        self._store: Any = None

    def open(self) -> tuple[str, int]:
        """Where the others find the first of them: address and port."""
        self._store = meeting_place(self._host)
        return self._host, self._store.port

    def run(self, job: _Job, meeting: tuple[str, int]) -> FitResult | Failed:
        return self._work(lambda: self._fit(job, meeting))

    def _fit(self, job: _Job, meeting: tuple[str, int]) -> FitResult | Failed:
        store = self._store or meeting_place(*meeting)
        try:
            return fit(
                job.train,
                job.dev,
                job.recipe,
                job.out,
                on_progress=self._tell if self._rank == 0 else None,
                should_stop=self._should_stop,
                resume=job.resume,
                hold=job.hold,
                files=job.files,
                team=Team(store, self._rank, self._size, host=self._host),
            )
        except LostError as error:
            return Failed(error.message, error.hint, alone=True)


def fit_on_ray(
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    workers: int,
    address: str = "",
    files: EncoderFiles | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] | None = None,
    hold: bool = False,
) -> FitResult:
    """`finetune.fit` by so many workers of the Ray cluster at `address`, or of one on this machine.

    Batches, steps and files are those of one process: without dropout the weights are the same but
    for rounding, and a stopped run goes on with any number of workers, or with none. `seconds` are
    from start to end, with Ray's own start. Where a worker is lost, the run is kept as it was after
    the last step, to be gone on with.

    Raises TrainError with a worker's own sentence where one failed or is lost, and what `fit` and
    `started` raise.
    """
    require_usable(train, dev)
    clock = SystemClock()
    begun = clock.monotonic()
    chosen = replace(recipe, threads=recipe.threads or cores_each(workers))
    job = _Job(train, dev, chosen, files or find(recipe.base), out.absolute(), resume, hold)
    with stoppable(should_stop) as stop, started(address, workers) as ray:
        actor = actor_of(ray, Member)
        members = [actor.remote(rank, workers, local=not address) for rank in range(workers)]
        meeting = _meeting(ray, members[0])
        before = clock.monotonic() - begun
        results = _train(ray, members, ray.put(job), meeting, stop, on_progress)
    result = _result(results, out)
    if result.best_epoch and not (out / "freehold.json").exists():
        raise TrainError(
            f"The checkpoint was written on another machine; {out} is not there.",
            hint="The project's folder has to be the same on every machine of the cluster.",
        )
    return replace(result, path=out, seconds=result.seconds + before)


def _meeting(ray: Any, first: Any) -> Any:
    try:
        return ray.get(first.open.remote(), timeout=START)
    except ray.exceptions.RayError as error:  # the time that is up is one as well
        raise TrainError(
            f"Ray could not start the workers ({type(error).__name__}).",
            hint="Look at the cluster with `ray status`.",
        ) from error


def _train(
    ray: Any,
    members: list[Any],
    job: Any,
    meeting: Any,
    stop: Stop,
    on_progress: Callable[[Progress], None] | None,
) -> dict[int, FitResult | Failed]:
    """What each worker came to, by its rank; none of one that did not end in time."""
    clock = SystemClock()
    talks: Talks[int] = Talks(ray)
    for rank, member in enumerate(members):
        talks.begin(rank, member, member.run.remote(job, meeting))
    results: dict[int, FitResult | Failed] = {}
    ending: list[float] = []  # when one failed

    def told(rank: int, progress: Progress) -> None:
        try:
            if on_progress is not None:
                on_progress(progress)
        except KeyboardInterrupt:
            stop.asked = True

    while talks and (not ending or clock.monotonic() - ending[0] < GRACE):
        for rank, result in talks.hear(told, lambda rank: stop() or bool(ending)):
            results[rank] = result
            if isinstance(result, Failed):
                ray.kill(members[rank])  # its connections close, so that the others notice
                ending.append(clock.monotonic())
    return results


def _result(results: dict[int, FitResult | Failed], out: Path) -> FitResult:
    """The first worker's. Raises TrainError: of failures the one that the others came from."""
    failures = [one for one in results.values() if isinstance(one, Failed)]
    own = [one for one in failures if not one.lost and not one.alone]
    if own:
        raise TrainError(own[0].message, hint=own[0].hint)
    if failures:
        first = min(failures, key=lambda one: one.alone)
        kept, go_on = "No step of the run is kept.", "Begin anew"
        if state.path_of(out).exists():
            kept, go_on = "What was last saved of the run is kept.", "Go on with --resume"
        raise TrainError(
            f"{first.message} {kept}",
            hint=f"{go_on}; if memory ran out, with a smaller --workers.",
        )
    result = results[0]
    assert isinstance(result, FitResult)
    return result
