"""What is known is left out: how it is told, what an epoch is made of, and that runs go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from little import sentences, texts

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, PairExample, ScoredExample
from freehold.train.finetune import FitResult, fit
from freehold.train.heads.base import head_of
from freehold.train.known import Known
from freehold.train.predict import logits
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe

MANY = 400


def known_of(rows: int, share: float, budget: int = 64) -> Known:
    return Known(np.full(rows, 8, np.int64), budget, 3, share)


@given(st.integers(1, 60), st.integers(0, 5), st.floats(0, 0.99), st.data())
def test_an_epoch_has_each_row_once_at_most_and_all_that_is_not_known(
    rows: int, epoch: int, share: float, data: st.DataObject
) -> None:
    known = known_of(rows, share)
    sure = np.array(data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    known.note(list(range(rows)), sure)
    whole = sorted(number for batch in known.plan(epoch) for number in batch)
    assert whole == list(range(rows)), "what is noted counts from the next epoch on"
    known.end_epoch()
    chosen = [number for batch in known.plan(epoch) for number in batch]
    assert len(set(chosen)) == len(chosen) > 0
    assert set(np.flatnonzero(~sure)) <= set(chosen)
    assert known.plan(epoch) == known.plan(epoch)


def test_a_share_of_the_known_is_left_out_and_each_time_another() -> None:
    known = known_of(MANY, 0.75)
    known.note(list(range(MANY)), np.ones(MANY, np.bool_))
    known.end_epoch()
    epochs = [{n for batch in known.plan(epoch) for n in batch} for epoch in range(1, 9)]
    assert all(abs(len(one) / MANY - 0.25) < 0.1 for one in epochs)
    assert len(set.union(*epochs)) > 0.8 * MANY


def test_what_was_not_seen_stays_as_it_was() -> None:
    known = known_of(4, 0.9)
    known.note([0, 1], np.array([True, True]))
    known.end_epoch()
    known.note([0], np.array([False]))
    known.end_epoch()
    assert known.begun.tolist() == [False, True, False, False]


def test_of_a_team_each_process_hears_what_the_others_noted() -> None:
    first, other = known_of(4, 0.5), known_of(4, 0.5)
    first.note([0, 1], np.array([True, False]))
    other.note([2, 3], np.array([True, True]))
    told: list[torch.Tensor] = []

    def keep(numbers: torch.Tensor) -> None:
        told.append(numbers.clone())

    for one in (first, other):
        one.add_up = keep
        one.end_epoch()
    # Both again, with the sum of what both said.
    first, other = known_of(4, 0.5), known_of(4, 0.5)
    first.note([0, 1], np.array([True, False]))
    other.note([2, 3], np.array([True, True]))
    for one in (first, other):
        one.add_up = lambda numbers: numbers.copy_(told[0] + told[1])
        one.end_epoch()
        assert one.begun.tolist() == [True, False, True, True]


def test_a_stopped_team_goes_on_with_what_all_of_it_noted() -> None:
    first, other = team = known_of(4, 0.5), known_of(4, 0.5)
    first.note([0], np.array([True]))
    other.note([2], np.array([True]))
    for one in team:
        one.add_up = lambda sums: sums.copy_(torch.tensor([[1.0, 0, 1, 0]] * 2))
        one.agree()
    kept = first.tensors()  # the first writes for all
    first, other = team = known_of(4, 0.5), known_of(4, 0.5)
    for one in team:
        one.restore(kept)
    first.note([1], np.array([True]))
    other.note([3], np.array([False]))
    for one in team:
        one.add_up = lambda sums: sums.copy_(torch.tensor([[0.0, 1, 0, 0], [0, 1, 0, 1]]))
        one.end_epoch()
        assert one.begun.tolist() == [True, True, True, False]


@pytest.mark.parametrize("looks", [False, True])
def test_a_run_that_is_stopped_hears_of_the_others_first(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: bool
) -> None:
    called: list[bool] = []
    monkeypatch.setattr(Known, "agree", lambda self: called.append(True))
    if looks:  # stopped while it looks at dev
        monkeypatch.setattr("freehold.train.run.Run.answers", lambda self, go_on: None)
    data, skipping = texts(8, 1), dataclasses.replace(recipe, skip_known=0.5)
    stopped = fit(data, data, skipping, tmp_path / "m", should_stop=lambda: not looks)
    assert stopped.interrupted
    assert called == [True]


def test_it_is_as_certain_as_the_least_certain_part() -> None:
    even = torch.zeros(2, 3, 2)
    assert head_of("tags").certainty(even, torch.tensor([[0, 1, -100], [-100] * 3])).tolist() == [
        0.5,
        1.0,
    ]
    assert head_of("label").certainty(even[:, 0], torch.tensor([0, 1])).tolist() == [0.5, 0.5]
    both = head_of("labels").certainty(
        torch.tensor([[9.0, -9.0], [9.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    )
    assert both[0] > 0.99
    assert both[1] == 0.5
    span = head_of("span").certainty(
        torch.tensor([[[20.0, 0.0], [0.0, 0.0]]]), torch.tensor([[0, 1]])
    )
    assert span.tolist() == [0.5]


@pytest.mark.parametrize("task", ["texts", "sentences"])
def test_a_run_that_leaves_out_what_it_knows_learns_it_all_the_same(
    recipe: Recipe, tmp_path: Path, task: str
) -> None:
    make = {"texts": texts, "sentences": sentences}[task]
    skipping = dataclasses.replace(recipe, skip_known=0.75, epochs=12)
    found = fit(make(96, 1), make(40, 2), skipping, tmp_path / "model")
    assert found.score > 0.95
    assert found.examples < 0.8 * 96 * 12


def test_where_labels_are_smoothed_less_certainty_is_asked_for(
    recipe: Recipe, tmp_path: Path
) -> None:
    skipping = dataclasses.replace(recipe, skip_known=0.75, epochs=12, label_smoothing=0.3)
    found = fit(texts(96, 1), texts(40, 2), skipping, tmp_path / "model")
    assert found.score > 0.95
    assert found.examples < 0.8 * 96 * found.epochs


def stopped_and_gone_on_with(
    data: Sequence[Dataset], recipe: Recipe, out: Path, at: int
) -> FitResult:
    asked: list[bool] = []

    def watch(progress: Progress) -> None:
        if progress.step >= at:
            asked.append(True)

    fit(*data, recipe, out, should_stop=lambda: bool(asked), on_progress=watch)
    assert asked
    return fit(*data, recipe, out, resume=True)


@pytest.mark.parametrize(("sure", "warmup"), [(0.95, 0.1), (0.0, 0.9)])
def test_a_stopped_run_goes_on_to_the_same_weights(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sure: float, warmup: float
) -> None:
    """Also where all is known soon, and the rate still rises when it goes on."""
    monkeypatch.setattr("freehold.train.known.SURE", sure)
    monkeypatch.setattr("freehold.train.loop.TELL_EVERY", 0.0)
    data = texts(96, 1), texts(40, 2)
    skipping = dataclasses.replace(recipe, skip_known=0.75, epochs=8, warmup=warmup)
    whole = fit(*data, skipping, tmp_path / "whole")
    for at in (20, 35):
        parts = stopped_and_gone_on_with(data, skipping, tmp_path / f"parts{at}", at)
        assert parts.examples == whole.examples
        for one, other in zip(
            logits(whole.path, data[1].examples), logits(parts.path, data[1].examples), strict=True
        ):
            assert np.array_equal(one, other)


def test_the_steps_that_are_told_end_with_those_that_are_taken(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.train.loop.TELL_EVERY", 0.0)
    told: list[Progress] = []
    skipping = dataclasses.replace(recipe, skip_known=0.75, epochs=8, patience=99)
    fit(texts(96, 1), texts(40, 2), skipping, tmp_path / "m", on_progress=told.append)
    assert told[-1].step == told[-1].steps < told[0].steps


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"adversarial": "fgm"}, "learns from more than the texts"),
        ({"adversarial": "copies"}, "learns from more than the texts"),
    ],
)
def test_it_is_refused_beside_other_objectives(
    recipe: Recipe, tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    skipping = dataclasses.replace(recipe, skip_known=0.5, **change)
    with pytest.raises(TrainError, match=why):
        fit(texts(16, 1), texts(8, 2), skipping, tmp_path / "m")


@pytest.mark.parametrize(
    ("task", "example"),
    [
        ("regression", ScoredExample(1, "hello", 0.5)),
        ("pair-scoring", PairExample(1, "hello", "again", score=0.5)),
        ("sentence-embedding", PairExample(1, "hello", "again", score=0.5)),
    ],
)
def test_it_is_refused_where_answers_have_no_probability(
    recipe: Recipe, tmp_path: Path, task: str, example: Any
) -> None:
    examples = [dataclasses.replace(example, score=score) for score in (0.0, 1.0, 2.0)]
    data = dataclasses.replace(texts(3, 1), task=task, examples=examples)
    skipping = dataclasses.replace(recipe, skip_known=0.5)
    with pytest.raises(TrainError, match=f"{task} has no probability"):
        fit(data, data, skipping, tmp_path / "m")
