"""From a few examples a label to a checkpoint like any other; stopping and going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from little import dataset, sentences, texts
from safetensors.torch import load_file

from freehold.data.shots import draw_shots
from freehold.errors import DataError, TrainError
from freehold.tasks.types import Dataset, Example
from freehold.train.fewshot.fewshot import fit_few
from freehold.train.finetune import fit
from freehold.train.predict import logits
from freehold.train.recipe import Recipe


@pytest.fixture
def few(recipe: Recipe) -> Recipe:
    return replace(recipe, epochs=30, learning_rate=5e-3, encoder_dropout=0.0)


@pytest.fixture
def shots() -> Dataset:
    return draw_shots(texts(200, seed=1), 8, seed=0)


def test_a_few_examples_are_enough_where_an_untrained_head_is_not(
    shots: Dataset, dev_texts: Dataset, few: Recipe, tmp_path: Path
) -> None:
    result = fit_few(shots, dev_texts, few, tmp_path / "few")
    assert result.score > 0.8  # of four labels
    assert result.score_name == "accuracy"
    found = logits(tmp_path / "few", dev_texts.examples)
    answers = [result.labels[int(row.argmax())] for row in found]
    right = [a == e.target for a, e in zip(answers, dev_texts.examples, strict=True)]
    assert np.mean(right) == pytest.approx(result.score)


def test_a_stopped_run_goes_on_to_the_same_weights(
    shots: Dataset, dev_texts: Dataset, few: Recipe, tmp_path: Path
) -> None:
    fit_few(shots, dev_texts, few, tmp_path / "whole")
    calls = [0]

    def stop() -> bool:
        calls[0] += 1
        return calls[0] > 3

    stopped = fit_few(shots, dev_texts, few, tmp_path / "parts", should_stop=stop)
    assert stopped.interrupted
    fit_few(shots, dev_texts, few, tmp_path / "parts", resume=True)
    whole, parts = (load_file(tmp_path / n / "model.safetensors") for n in ("whole", "parts"))
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_a_label_with_one_example_takes_part(
    dev_texts: Dataset, few: Recipe, tmp_path: Path
) -> None:
    single = dataset([*draw_shots(texts(80, seed=1), 3, seed=0).examples, Example(99, "my x", "y")])
    result = fit_few(single, dev_texts, replace(few, epochs=2), tmp_path / "few")
    assert "y" in result.labels


def test_a_run_of_another_kind_is_not_gone_on_with(
    shots: Dataset, dev_texts: Dataset, few: Recipe, tmp_path: Path
) -> None:
    fit(shots, dev_texts, few, tmp_path / "model", should_stop=lambda: True)
    with pytest.raises(TrainError, match="few-shot batches"):
        fit_few(shots, dev_texts, few, tmp_path / "model", resume=True)


def test_other_tasks_are_refused(few: Recipe, tmp_path: Path) -> None:
    data = sentences(20, seed=0)
    with pytest.raises(TrainError, match="one label a text, not for token-classification"):
        fit_few(data, data, few, tmp_path / "few")


def test_shots_are_drawn_by_label_and_the_same_again() -> None:
    data = texts(101, seed=3)
    drawn = draw_shots(data, 5, seed=2)
    assert [sum(e.target == label for e in drawn.examples) for label in data.labels()] == [5] * 4
    assert drawn.examples == draw_shots(data, 5, seed=2).examples
    assert drawn.examples != draw_shots(data, 5, seed=3).examples
    assert [e.row for e in drawn.examples] == sorted(e.row for e in drawn.examples)
    assert len(draw_shots(data, 1000, seed=0)) == 101


def test_shots_need_a_label_and_a_number() -> None:
    with pytest.raises(DataError, match="no single label"):
        draw_shots(sentences(4, seed=0), 2, seed=0)
    with pytest.raises(DataError, match="nothing to learn"):
        draw_shots(texts(4, seed=0), 0, seed=0)
