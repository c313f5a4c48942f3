"""Figures of the tasks without one label of several: right, with intervals, and not flattered."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from freehold.errors import DataError
from freehold.evaluate.figures import evaluate_figures
from freehold.evaluate.figures_view import render_page, render_terminal
from freehold.tasks.types import (
    AnyExample,
    Dataset,
    LabelsExample,
    QuestionExample,
    ScoredExample,
)

LABELS = ["bill", "card", "<b>late</b>"]


def _data(task: str, examples: Sequence[AnyExample]) -> Dataset:
    return Dataset(Path("dev.jsonl"), task, examples, "0" * 64, "jsonl", "utf-8", {}, False)


def _labelled(count: int, seed: int) -> tuple[Dataset, list[np.ndarray]]:
    random = np.random.default_rng(seed)
    gold = random.random((count, 3)) < 0.4
    logits = random.normal(0.0, 1.0, (count, 3)) + 2.0 * gold
    examples = [
        LabelsExample(row, f"text {row}", tuple(np.array(LABELS)[marks].tolist()))
        for row, marks in enumerate(gold, 1)
    ]
    return _data("multi-label-classification", examples), list(logits.astype(np.float32))


def test_figures_lie_in_their_intervals_and_come_again_with_the_same_seed() -> None:
    data, logits = _labelled(200, seed=1)
    found = evaluate_figures(data, logits, LABELS, settings={"thresholds": [0.7] * 3}, seed=3)
    again = evaluate_figures(data, logits, LABELS, settings={"thresholds": [0.7] * 3}, seed=3)
    assert found.document() == again.document()
    for name, value in found.metrics.items():
        low, high = found.intervals[name]
        assert low <= value <= high
        assert high - low < 0.3
    json.dumps(found.document())


def test_micro_f1_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import f1_score

    data, logits = _labelled(100, seed=2)
    found = evaluate_figures(data, logits, LABELS, settings={"thresholds": [0.6, 0.5, 0.4]})
    gold = [[label in (e.target or ()) for label in LABELS] for e in data.examples]  # type: ignore[operator]
    answered = 1 / (1 + np.exp(-np.stack(logits))) > np.array([0.6, 0.5, 0.4])
    assert found.metrics["micro_f1"] == pytest.approx(f1_score(gold, answered, average="micro"))
    assert found.metrics["macro_f1"] == pytest.approx(f1_score(gold, answered, average="macro"))


def test_thresholds_are_not_measured_on_what_they_were_tuned_on() -> None:
    """Labels by chance: tuned and measured on the same texts they would seem to be found."""
    random = np.random.default_rng(5)
    names = [f"label{n}" for n in range(12)]
    gold = random.random((60, 12)) < 0.5
    logits = list(random.normal(size=(60, 12)).astype(np.float32))
    examples = [
        LabelsExample(row, "x", tuple(np.array(names)[marks].tolist()))
        for row, marks in enumerate(gold, 1)
    ]
    data = _data("multi-label-classification", examples)
    from freehold.tasks.registry import task_of

    tuned = task_of(data.task).tune(examples, logits, names)
    flattered = evaluate_figures(data, logits, names, settings=tuned)
    honest = evaluate_figures(data, logits, names, settings=None)
    assert honest.metrics["macro_f1"] < flattered.metrics["macro_f1"] - 0.01
    assert any("one half" in note for note in honest.notes)


def test_nothing_said_is_tuned_and_applied() -> None:
    """Without an answer the null row stands at 5, with one at 1, each against a span at 3: only a
    limit between -2 and 2 gets both right."""
    examples, logits = [], []
    for row in range(40):
        there = row % 2 == 0
        examples.append(QuestionExample(row, "who?", "it was Ann", (("Ann", 7),) if there else ()))
        null = 1.0 if there else 5.0
        logits.append(np.array([[0, 0, null], [7, 10, 3.0]], np.float32))
    found = evaluate_figures(
        _data("question-answering", examples), logits, ["start", "end"], settings=None
    )
    assert found.metrics["f1"] == 1.0
    assert found.metrics["exact_match"] == 1.0
    assert found.metrics["no_answer_accuracy"] == 1.0


def test_pages_and_tables_show_texts_as_texts() -> None:
    data, logits = _labelled(120, seed=4)
    found = evaluate_figures(data, logits, LABELS, settings={})
    page = render_page(found, "shop@1 on dev")
    assert "<b>late" not in page
    assert "&lt;b&gt;late" in page
    assert "Micro F1" in page
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render_terminal(found))
    shown = console.export_text()
    assert "Micro F1" in shown
    assert "<b>late</b>" in shown


@pytest.mark.parametrize(
    ("examples", "logits", "message"),
    [
        ([], [], "holds no example"),
        ([ScoredExample(4, "a")], [np.zeros(1)], "line 4: the example has nothing to compare"),
        ([ScoredExample(7, "a", 1.0)], [np.full(1, np.nan)], "line 7: the model's answer is not"),
        ([ScoredExample(1, "a", 1.0)], [], "1 examples and the model answered 0"),
    ],
)
def test_what_cannot_be_scored_is_said(
    examples: list[AnyExample], logits: list[np.ndarray], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        evaluate_figures(_data("regression", examples), logits, ["score"], settings={})
