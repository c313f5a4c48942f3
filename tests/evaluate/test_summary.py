"""The figures of a card: the same that `freehold evaluate` prints, in one shape for every task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freehold.evaluate.figures import evaluate_figures
from freehold.evaluate.report import evaluate
from freehold.evaluate.summary import summarise
from freehold.tasks.registry import task_of
from freehold.tasks.types import Dataset, Example, LabelsExample, ScoredExample, TaggedExample

LABELS = ["no", "yes", "maybe"]


def _dataset(task: str, examples: list[Any]) -> Dataset:
    return Dataset(Path("dev.jsonl"), task, examples, "0", "jsonl", "utf-8", {}, inferred=False)


def _logits(rows: int, width: int, seed: int = 0) -> list[Any]:
    return list(np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32))


def test_labels_are_told_as_the_evaluation_tells_them() -> None:
    data = _dataset("text-classification", [Example(n, "a", LABELS[n % 3 % 2]) for n in range(60)])
    logits = _logits(60, 3)
    found, whole = summarise(data, logits, LABELS), evaluate(data, logits, LABELS)
    assert found.metrics["accuracy"] == whole.scores.accuracy
    assert found.metrics["macro_f1"] == whole.scores.macro_f1
    assert found.intervals["accuracy"] == whole.intervals.metrics["accuracy"] == found.chosen
    assert [row.label for row in found.labels] == LABELS
    assert [row.f1 for row in found.labels] == [row.f1 for row in whole.scores.per_label.rows]
    assert found.labels[0].interval == whole.intervals.per_label["no"]
    assert found.labels[2].support == 0
    assert (found.data, found.n) == ("dev.jsonl", 60)


def test_tags_are_told_by_whole_entities() -> None:
    tags = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    sentences = [TaggedExample(n, ("in", "Rome"), ("O", "B-LOC")) for n in range(30)]
    data = _dataset("token-classification", sentences)
    logits = [np.random.default_rng(n).normal(size=(2, 5)).astype(np.float32) for n in range(30)]
    found, whole = summarise(data, logits, tags), evaluate(data, logits, tags)
    assert found.metrics["entity_f1"] == whole.scores.entity_f1
    assert found.chosen == whole.intervals.metrics["entity_f1"]
    assert [row.label for row in found.labels] == ["LOC", "PER"]
    assert found.labels[0].support == 30


def test_what_is_chosen_by_and_what_is_tuned_have_intervals_of_their_own() -> None:
    random = np.random.default_rng(3)
    rows = [
        LabelsExample(n, "a", tuple(label for label in LABELS if random.random() < 0.2))
        for n in range(200)
    ]
    data, logits = _dataset("multi-label-classification", rows), _logits(200, 3, seed=1)
    found = summarise(data, logits, LABELS)
    score = task_of(data.task).score(rows, logits, LABELS).value
    tuned = evaluate_figures(data, logits, LABELS, settings=None)
    assert found.metrics == tuned.metrics
    assert found.intervals == tuned.intervals
    assert found.chosen[0] <= score <= found.chosen[1]
    assert found.chosen != tuned.intervals["micro_f1"]
    assert [row.label for row in found.labels] == LABELS


def test_numbers_have_no_labels() -> None:
    data = _dataset("regression", [ScoredExample(n, "a", float(n)) for n in range(40)])
    logits = [np.array([n + n % 3], np.float32) for n in range(40)]
    found = summarise(data, logits, ["score"])
    assert found.labels == []
    assert found.metrics["pearson"] == pytest.approx(
        task_of("regression").score(data.examples, logits, ["score"]).value
    )
    assert found.chosen == found.intervals["pearson"]
