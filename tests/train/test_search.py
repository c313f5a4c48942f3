"""A search without training: a made-up score stands in for trials, so that choices can be held."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from freehold.clock import ManualClock
from freehold.errors import ConflictError, NotFoundError, TrainError
from freehold.store.database import Database
from freehold.train.recipe import Recipe
from freehold.train.search.budget import Budget
from freehold.train.search.conduct import Conductor, Told
from freehold.train.search.space import Range, Space
from freehold.train.search.studies import Studies, finished
from freehold.train.search.trial import Ended

RECIPE = Recipe(epochs=4, learning_rate=1e-4, batch_tokens=256, seed=5)
SPACE: Space = {"learning_rate": Range(1e-5, 1e-2, log=True), "dropout": Range(0.0, 0.5)}


def peak(recipe: Recipe) -> float:
    """Best at a rate of 1e-3."""
    assert recipe.learning_rate is not None
    return 0.9 - 0.1 * abs(math.log10(recipe.learning_rate) + 3)


class Bench:
    """Conductors over one study, and trials that last a second an epoch."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.clock = ManualClock()
        self.studies = Studies(database, self.clock)
        self.folder = folder
        self.asked = False
        self.told: list[Told] = []

    def conductor(self, budget: Budget, *, pruner: str = "none", name: str = "s") -> Conductor:
        if self.studies.find(name) is None:
            self.studies.create(name, "bank", {"space": "…"})
        return Conductor(
            self.studies,
            self.studies.get(name),
            recipe=RECIPE,
            space=SPACE,
            pruner=pruner,
            budget=budget,
            price=lambda seconds: Decimal(str(seconds)) / 100,
            folder=self.folder,
            asked_to_stop=lambda: self.asked,
            on_change=self.told.append,
            clock=self.clock,
        )

    def run(
        self,
        conductor: Conductor,
        score: Callable[[Recipe], float] = peak,
        *,
        stop_at: int | None = None,
    ) -> None:
        while (spec := conductor.begin()) is not None:
            spec.folder.mkdir(parents=True)
            value = score(spec.recipe)
            if not math.isfinite(value):
                conductor.end(spec.number, Ended({}, 0.0, interrupted=False, why="no number"))
                continue
            reached, interrupted = 0.0, False
            for epoch in range(1, 5):
                self.clock.advance(seconds=1)
                self.asked = self.asked or spec.number == stop_at
                if conductor.stopping(spec.number):
                    interrupted = True
                    break
                reached = value * epoch / 4
                conductor.epoch(spec.number, epoch, reached)
            facts = {"score": reached, "score_name": "accuracy"} if reached else {}
            conductor.end(spec.number, Ended(facts, 4.0, interrupted))


@pytest.fixture
def bench(sqlite: Database, tmp_path: Path) -> Bench:
    return Bench(sqlite, tmp_path / "search")


def drawn(bench: Bench, name: str = "s") -> list[dict[str, Any]]:
    return [trial.knobs for trial in bench.studies.trials(name)]


def test_the_recipe_as_it_stands_is_tried_first_and_the_best_is_kept(bench: Bench) -> None:
    conductor = bench.conductor(Budget(trials=25))
    bench.run(conductor)
    trials = bench.studies.trials("s")
    assert trials[0].knobs == {"learning_rate": 1e-4, "dropout": 0.1}
    assert [trial.state for trial in trials] == ["complete"] * 25
    best = finished(trials)[0]
    assert best.number == conductor.best
    assert best.score is not None
    assert best.score > 0.87 > (trials[0].score or 1)
    assert [folder.name for folder in bench.folder.iterdir()] == [f"trial-{best.number}"]


def test_the_same_seed_draws_the_same_trials(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.folder = bench.folder.with_name(name)
        bench.run(bench.conductor(Budget(trials=10), name=name))
    assert drawn(bench, "a") == drawn(bench, "b")
    assert len({knobs["dropout"] for knobs in drawn(bench, "a")}) == 10


def test_what_was_stopped_is_gone_on_with_as_if_it_had_not_been(
    database: Database, tmp_path: Path
) -> None:
    bench = Bench(database, tmp_path / "whole")
    bench.run(bench.conductor(Budget(trials=12), name="whole"))
    bench.folder = tmp_path / "parts"
    bench.run(bench.conductor(Budget(trials=12), name="parts"), stop_at=8)
    stopped = bench.studies.trials("parts")
    assert [trial.state for trial in stopped] == ["complete"] * 8 + ["failed"]
    assert stopped[8].facts == {"why": "stopped before it ended", "stopped": True}
    assert stopped[8].cost > 0
    bench.asked = False
    bench.run(bench.conductor(Budget(trials=12), name="parts"))
    done = [trial for trial in bench.studies.trials("parts") if trial.state == "complete"]
    assert [trial.knobs for trial in done] == drawn(bench, "whole")
    assert bench.studies.get("parts").elapsed == bench.studies.get("whole").elapsed + 1


def test_a_killed_search_leaves_its_trial_as_failed_and_charged(bench: Bench) -> None:
    conductor = bench.conductor(Budget(trials=3))
    spec = conductor.begin()
    assert spec is not None
    bench.clock.advance(seconds=7)
    conductor.epoch(spec.number, 1, 0.5)
    assert bench.studies.trials("s")[0].state == "running"
    bench.run(bench.conductor(Budget(trials=3)))  # another process
    states = [trial.state for trial in bench.studies.trials("s")]
    assert states == ["failed", "complete", "complete", "complete"]
    assert bench.studies.trials("s")[0].cost == Decimal("0.07")
    assert drawn(bench)[1] == {"learning_rate": 1e-4, "dropout": 0.1}


def test_minutes_end_the_search_and_cut_the_trial_under_way(bench: Bench) -> None:
    bench.run(bench.conductor(Budget(minutes=0.1)))
    trials = bench.studies.trials("s")
    assert [trial.state for trial in trials] == ["complete", "cut"]
    assert bench.clock.elapsed == 6
    assert trials[1].scores == (pytest.approx(trials[1].score),)


def test_money_ends_the_search(bench: Bench) -> None:
    bench.run(bench.conductor(Budget(money=Decimal("0.10"), trials=50)))
    spent = sum((trial.cost for trial in bench.studies.trials("s")), Decimal(0))
    assert spent == Decimal("0.10")


def test_a_trial_that_holds_half_a_machine_is_charged_half(bench: Bench) -> None:
    conductor = bench.conductor(Budget(trials=1))
    spec = conductor.begin(share=0.5)
    assert spec is not None
    bench.clock.advance(seconds=10)
    conductor.end(spec.number, Ended({"score": 0.5}, 10.0, interrupted=False))
    trial = bench.studies.trials("s")[0]
    assert (trial.seconds, trial.cost) == (5.0, Decimal("0.05"))


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_of_equal_trials_the_first_is_the_best_whichever_ended_first(
    bench: Bench, first_to_end: int
) -> None:
    conductor = bench.conductor(Budget(trials=3))
    specs = [spec for _ in range(3) if (spec := conductor.begin(share=1 / 3)) is not None]
    order = [first_to_end, 1 - first_to_end, 2]
    for number in order:
        folder = specs[number].folder
        folder.mkdir(parents=True)
        (folder / "freehold.json").touch()
        score = 0.5 if number == 2 else 0.75
        conductor.end(number, Ended({"score": score}, 1.0, interrupted=False))
        assert (conductor.folder_of(conductor.best or 0) / "freehold.json").exists()
    assert conductor.best == 0
    assert [folder.name for folder in bench.folder.iterdir()] == ["trial-0"]
    again = bench.conductor(Budget(trials=3))  # read back
    assert again.best == 0


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_hopeless_trials_are_given_up(bench: Bench, pruner: str) -> None:
    bench.run(bench.conductor(Budget(trials=30), pruner=pruner))
    trials = bench.studies.trials("s")
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert pruned
    best = finished(trials)[0]
    assert best.state == "complete"
    assert all((trial.score or 0) < (best.score or 0) for trial in pruned)
    assert all(len(trial.scores) < 4 for trial in pruned)


def test_a_failed_trial_does_not_end_the_search(bench: Bench) -> None:
    bench.run(
        bench.conductor(Budget(trials=12)),
        lambda recipe: math.nan if (recipe.learning_rate or 0) > 3e-3 else peak(recipe),
    )
    states = [trial.state for trial in bench.studies.trials("s")]
    assert 0 < states.count("failed") < 5
    assert states.count("complete") == 12 - states.count("failed")
    assert {told.why for told in bench.told if told.state == "failed"} == {"no number"}


def test_a_recipe_that_cannot_be_trained_ends_the_search(bench: Bench) -> None:
    with pytest.raises(TrainError, match="Trial 0 failed: no number"):
        bench.run(bench.conductor(Budget(trials=12)), lambda recipe: math.nan)


def test_failures_one_after_another_end_the_search(bench: Bench) -> None:
    with pytest.raises(TrainError, match="Trial 5 failed"):
        bench.run(
            bench.conductor(Budget(trials=50)),
            lambda recipe: 0.5 if recipe.learning_rate == 1e-4 else math.nan,
        )


def test_names_are_taken_once(bench: Bench) -> None:
    bench.studies.create("s", "bank", {})
    with pytest.raises(ConflictError, match="study 's' already"):
        bench.studies.create("s", "bank", {})
    with pytest.raises(NotFoundError, match="no study 'other'"):
        bench.studies.get("other")


@pytest.mark.parametrize(
    ("limits", "said"), [({}, "no budget"), ({"trials": 0}, "above 0"), ({"minutes": -1}, "above")]
)
def test_a_budget_is_needed(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(TrainError, match=said):
        Budget(**limits)


def test_an_unknown_pruner_is_a_sentence(bench: Bench) -> None:
    with pytest.raises(TrainError, match="no pruner 'luck'"):
        bench.conductor(Budget(trials=1), pruner="luck")
