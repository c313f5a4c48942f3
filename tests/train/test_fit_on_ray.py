"""Training by several workers, as the driver sees it; threads stand in for Ray's processes.

The real thing is in tests/acceptance, what workers do together in test_team.py.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stand_in_ray import StandIn

from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import finetune, parallel
from freehold.train.finetune import fit
from freehold.train.parallel import fit_on_ray
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.runner_ray import Failed
from freehold.train.state import path_of


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    stand_in, one_at_a_time = StandIn(), threading.Lock()
    monkeypatch.setattr(parallel, "started", stand_in.started)
    prepare = finetune.prepare

    def prepared(train: Dataset, dev: Dataset, recipe: Recipe, *args: Any, **options: Any) -> Any:
        with one_at_a_time:  # threads share torch's generator, and what loading an encoder changes
            torch.manual_seed(recipe.seed)
            return prepare(train, dev, recipe, *args, **options)

    monkeypatch.setattr(finetune, "prepare", prepared)
    return stand_in


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    return replace(recipe, dropout=0.0, encoder_dropout=0.0, precision="fp32", epochs=3)


def test_the_result_is_that_of_one_process(
    ray: StandIn, train_texts: Dataset, dev_texts: Dataset, short: Recipe, tmp_path: Path
) -> None:
    told: list[Progress] = []
    one = fit(train_texts, dev_texts, short, tmp_path / "one")
    two = fit_on_ray(
        train_texts, dev_texts, short, tmp_path / "two", workers=2, on_progress=told.append
    )
    assert len(ray.actors) == 2
    assert two.path == tmp_path / "two"
    assert (two.score, two.best_epoch, two.examples) == (one.score, one.best_epoch, one.examples)
    assert two.threads == 1
    assert two.dev_logits is not None
    assert [at.epoch for at in told if at.score is not None] == [1, 2, 3]
    assert [path.name for path in sorted(two.path.iterdir())] == [
        path.name for path in sorted(one.path.iterdir())
    ]


def test_ctrl_c_stops_all_and_any_number_of_workers_goes_on(
    ray: StandIn, train_texts: Dataset, dev_texts: Dataset, short: Recipe, tmp_path: Path
) -> None:
    def pressed(progress: Progress) -> None:
        if progress.score is not None and not progress.step > progress.steps / 2:
            raise KeyboardInterrupt

    out = tmp_path / "model"
    longer = replace(short, epochs=40)  # so that it has not ended before the word arrives
    stopped = fit_on_ray(train_texts, dev_texts, longer, out, workers=2, on_progress=pressed)
    assert stopped.interrupted
    assert 1 <= stopped.epochs < 40
    assert path_of(out).exists()
    done = fit_on_ray(train_texts, dev_texts, longer, out, workers=3, resume=True)
    assert not done.interrupted
    assert done.examples > stopped.examples
    assert not path_of(out).exists()


def test_an_error_of_the_workers_is_their_own_sentence(
    ray: StandIn, train_texts: Dataset, dev_texts: Dataset, short: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    with pytest.raises(TrainError, match="loss became nan in step") as caught:
        fit_on_ray(train_texts, dev_texts, replace(short, learning_rate=1e30), out, workers=2)
    assert caught.value.hint == "Try a lower learning rate, or fp32."
    with pytest.raises(TrainError, match="no stopped run"):
        fit_on_ray(train_texts, dev_texts, short, out, workers=2, resume=True)


def test_data_that_cannot_be_used_is_said_before_ray_is_started(
    ray: StandIn, train_texts: Dataset, dev_sentences: Dataset, short: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="is for token-classification"):
        fit_on_ray(train_texts, dev_sentences, short, tmp_path / "model", workers=2)
    assert ray.actors == []


def test_workers_that_ray_cannot_start_are_a_sentence(ray: StandIn) -> None:
    class First:
        class open:  # noqa: N801 # a method of the actor
            @staticmethod
            def remote() -> Any:
                raise StandIn.exceptions.RayError

    with pytest.raises(TrainError, match="could not start the workers"):
        parallel._meeting(ray, First())


@pytest.mark.parametrize("kept", [True, False])
def test_of_failures_the_first_cause_is_said(kept: bool, tmp_path: Path) -> None:
    lost = Failed("A Ray worker was lost (ActorDiedError).", "…", lost=True)
    other = Failed("Another worker was lost.", "…", alone=True)
    out = tmp_path / "model"
    if kept:
        path_of(out).touch()
    with pytest.raises(TrainError) as caught:
        parallel._result({1: other, 0: lost}, out)
    assert caught.value.message.startswith("A Ray worker was lost (ActorDiedError).")
    said = "What was last saved of the run is kept." if kept else "No step of the run is kept."
    assert caught.value.message.endswith(said)
    assert str(caught.value.hint).startswith("Go on with --resume" if kept else "Begin anew")
    with pytest.raises(TrainError, match="The disk is full") as caught:
        parallel._result({1: other, 0: Failed("The disk is full.", "Make room.")}, out)
    assert caught.value.hint == "Make room."
