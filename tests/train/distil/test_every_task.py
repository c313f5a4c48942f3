"""Distillation of every task: the teacher's last layer is taken over, all rows are learnt from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little import KEYS, dataset, texts

from freehold.app.distill import texts_for
from freehold.tasks.types import (
    Dataset,
    LabelsExample,
    PairExample,
    QuestionExample,
    ScoredExample,
)
from freehold.train import predict
from freehold.train.distil.distil import distil
from freehold.train.distil.objective import Weights
from freehold.train.finetune import fit
from freehold.train.recipe import Recipe

Make = Callable[[Sequence[Any]], list[Any]]


def scored(examples: Sequence[Any]) -> list[Any]:
    places = {label: place for place, label in enumerate(KEYS)}
    return [ScoredExample(e.row, e.text, 10.0 * places[e.label]) for e in examples]


def several(examples: Sequence[Any]) -> list[Any]:
    return [LabelsExample(e.row, e.text, (e.label,)) for e in examples]


def pairs(examples: Sequence[Any]) -> list[Any]:
    return [
        PairExample(a.row, a.text, b.text, label="same" if a.label == b.label else "other")
        for a, b in zip(examples, [*examples[1::2], *examples[::2]], strict=True)
    ]


def alike(examples: Sequence[Any]) -> list[Any]:
    return [
        PairExample(pair.row, pair.text_a, pair.text_b, score=float(pair.label == "same"))
        for pair in pairs(examples)
    ]


def questions(examples: Sequence[Any]) -> list[Any]:
    made = []
    for e in examples:
        word = next(word for word in e.text.split() if word in KEYS[e.label])
        made.append(QuestionExample(e.row, "what now", e.text, ((word, e.text.index(word)),)))
    return made


TASKS: dict[str, Make] = {
    "multi-label-classification": several,
    "regression": scored,
    "pair-classification": pairs,
    "sentence-embedding": alike,
    "question-answering": questions,
}


@pytest.fixture(scope="module", params=TASKS)
def taught(
    request: pytest.FixtureRequest, deep: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Dataset, Recipe]:
    """A teacher that has seen its task for one epoch, and the data."""
    examples = TASKS[request.param](texts(48, seed=1).examples)
    data = dataclasses.replace(dataset(examples), task=request.param)
    recipe = dataclasses.replace(deep, epochs=1, dropout=0.0)
    out = tmp_path_factory.mktemp("taught") / "model"
    return fit(data, data, recipe, out).path, data, recipe


def test_a_student_of_all_layers_begins_as_its_teacher(
    taught: tuple[Path, Dataset, Recipe], tmp_path: Path
) -> None:
    teacher, data, recipe = taught
    still = dataclasses.replace(recipe, learning_rate=1e-12, weight_decay=0.0)
    found = distil(teacher, data, data, still, tmp_path / "s", layers=4)
    assert found.fit.score == pytest.approx(found.teacher_score, abs=1e-6)
    ours, theirs = (predict.logits(f, data.examples) for f in (tmp_path / "s", teacher))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_texts_without_labels_join_beside_labels(
    taught: tuple[Path, Dataset, Recipe], tmp_path: Path
) -> None:
    teacher, data, recipe = taught
    corpus = dataset(texts(7, seed=5).examples)
    if data.task in ("pair-classification", "question-answering"):
        unlabelled = TASKS[data.task](texts(6, seed=5).examples)
    else:
        unlabelled = texts_for(data.task, corpus)
    found = distil(
        teacher, data, data, recipe, tmp_path / "s",
        layers=2, corpus=unlabelled, weights=Weights(hard=0.5),
    )  # fmt: skip
    assert found.fit.examples == len(data) + len(unlabelled)
    assert np.isfinite(found.fit.score)
