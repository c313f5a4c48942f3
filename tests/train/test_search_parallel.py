"""A search by several workers: what is pruned, stopped, failed, lost; made-up trials stand in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from stand_in_ray import StandIn

from freehold.clock import ManualClock
from freehold.errors import DataError, TrainError
from freehold.store.database import Database
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.search import parallel
from freehold.train.search.budget import Budget
from freehold.train.search.conduct import Conductor
from freehold.train.search.space import Range
from freehold.train.search.studies import Studies, Trial
from freehold.train.search.trial import Ended, Spec
from freehold.train.stopping import Stop

RECIPE = Recipe(epochs=4, learning_rate=1e-3, batch_tokens=256, seed=5)
EPOCHS = 4
Epoch = Callable[[Spec, int], float]


class Search:
    def __init__(self, database: Database, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.studies, self.folder = Studies(database, ManualClock()), folder
        self.studies.create("s", "bank", {})
        self.stop, self.ray, self.told = Stop(None), StandIn(), list[tuple[int, Progress]]()
        patch.setattr(parallel, "started", self.ray.started)
        self._patch = patch

    def run(self, trials: int, epoch: Epoch, *, pruner: str = "none") -> list[Trial]:
        """`epoch` gives the dev score of a trial after each."""

        def run_trial(
            material: Any, spec: Spec, *, on_progress: Any, should_stop: Callable[[], bool]
        ) -> Ended:
            scores: list[float] = []
            for number in range(1, EPOCHS + 1):
                if should_stop():
                    break
                score = epoch(spec, number)
                for seen in (None, score):
                    on_progress(_progress(number, seen))
                scores.append(score)
            spec.folder.mkdir(parents=True)
            (spec.folder / "freehold.json").touch()
            facts = {"score": max(scores), "score_name": "accuracy"} if scores else {}
            return Ended(facts, 1.0, interrupted=len(scores) < EPOCHS)

        self._patch.setattr(parallel, "run_trial", run_trial)
        conductor = Conductor(
            self.studies,
            self.studies.get("s"),
            recipe=RECIPE,
            space={"learning_rate": Range(1e-5, 1e-1, log=True)},
            pruner=pruner,
            budget=Budget(trials=trials),
            price=lambda seconds: Decimal(0),
            folder=self.folder,
            asked_to_stop=self.stop,
        )
        parallel.run_on_ray(
            conductor,
            object(),  # type: ignore[arg-type] # made-up trials look at nothing
            workers=2,
            address="",
            stop=self.stop,
            on_progress=lambda number, at: self.told.append((number, at)),
        )
        return self.studies.trials("s")


def _progress(epoch: int, score: float | None) -> Progress:
    return Progress(epoch, EPOCHS, epoch, EPOCHS, 0.5, score, score, 10.0, 1.0)


@pytest.fixture
def search(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Search:
    return Search(sqlite, tmp_path / "search", monkeypatch)


def _rising(spec: Spec, epoch: int) -> float:
    return epoch / 10 + (0.5 if spec.number in (0, 3) else 0)


def test_every_score_is_heard_and_the_best_is_kept(search: Search) -> None:
    trials = search.run(7, _rising)
    assert [trial.state for trial in trials] == ["complete"] * 7
    for trial in trials:
        assert trial.scores == tuple(_rising(_spec(trial.number), n) for n in range(1, 5))
        told = [at for number, at in search.told if number == trial.number]
        assert [at.epoch for at in told if at.score is None] == [1, 2, 3, 4]
    assert len(search.ray.actors) == 2
    assert [folder.name for folder in search.folder.iterdir()] == ["trial-0"]


def _spec(number: int) -> Spec:
    return Spec(number, RECIPE, Path())


def test_hopeless_trials_are_given_up_where_one_process_gives_them_up(search: Search) -> None:
    trials = search.run(14, _rising, pruner="median")
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    assert all(0 < len(trial.scores) < EPOCHS for trial in pruned)
    assert not {0, 3} & {trial.number for trial in pruned}


def test_a_stop_ends_all_trials_and_the_search_goes_on(search: Search) -> None:
    meet = threading.Barrier(2)

    def epoch(spec: Spec, number: int) -> float:
        if number == 2 and spec.number in (2, 3):
            meet.wait()
            search.stop.asked = True
        return 0.1 * number

    trials = search.run(6, epoch)
    assert [trial.state for trial in trials] == ["complete"] * 2 + ["failed"] * 2
    assert all(trial.facts["stopped"] for trial in trials[2:])
    search.stop.asked = False
    drawn = [trial.knobs for trial in trials]
    trials = search.run(6, _rising)
    assert [trial.state for trial in trials[4:]] == ["complete"] * 4
    assert [trial.knobs for trial in trials[4:6]] == drawn[2:4]  # those that were stopped, anew


def test_a_lost_worker_is_a_failed_trial_and_another_takes_its_place(search: Search) -> None:
    def epoch(spec: Spec, number: int) -> float:
        if (spec.number, number) == (2, 3):
            search.ray.holder().lose()
        return 0.1

    trials = search.run(6, epoch)
    assert [trial.state for trial in trials] == ["complete"] * 2 + ["failed"] + ["complete"] * 3
    assert trials[2].facts["why"] == "A Ray worker was lost (ActorDiedError)."
    assert not trials[2].facts["stopped"]
    assert len(search.ray.actors) == 3


def test_workers_lost_one_after_another_end_the_search(search: Search) -> None:
    def epoch(spec: Spec, number: int) -> float:
        if spec.number > 1:
            search.ray.holder().lose()
        return 0.1

    with pytest.raises(TrainError, match=r"Trial \d failed: A Ray worker was lost"):
        search.run(30, epoch)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DataError("The file is gone.", hint="Bring it back."), "The file is gone"),
        (ValueError("line one\nline two"), "A worker failed: ValueError: line one$"),
    ],
)
def test_any_other_error_ends_the_search_with_its_sentence(
    search: Search, error: Exception, said: str
) -> None:
    def epoch(spec: Spec, number: int) -> float:
        raise error

    with pytest.raises(TrainError, match=said):
        search.run(4, epoch)


def test_a_checkpoint_on_another_machine_is_a_sentence(tmp_path: Path) -> None:
    result = Ended({"score": 1.0}, 1.0, interrupted=False)
    with pytest.raises(TrainError, match="trial 3 was written on another machine"):
        parallel.ended(result, Spec(3, RECIPE, tmp_path / "none"))
