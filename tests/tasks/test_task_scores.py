"""The figures of the tasks, against scikit-learn, seqeval, scipy and formulas written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from freehold.tasks.base import Task
from freehold.tasks.bio import best_tags
from freehold.tasks.registry import task_of
from freehold.tasks.types import (
    Example,
    LabelsExample,
    PairExample,
    ScoredExample,
    TaggedExample,
)

LABELS = ["a", "b", "c"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
SEEDS = st.integers(0, 2**32 - 1)


def one_hot(places: np.ndarray, width: int) -> list[np.ndarray]:
    return list(np.eye(width, dtype=np.float32)[places] * 5)


@given(SEEDS, st.integers(1, 25))
def test_accuracy_and_loss_are_those_of_scikit_learn(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    gold = random.integers(0, 3, count)
    rows = random.normal(size=(count, 3))
    examples = [Example(n, "x", LABELS[place]) for n, place in enumerate(gold)]
    task = task_of("text-classification")
    score = task.score(examples, list(rows), LABELS)
    assert score.value == pytest.approx(sklearn.accuracy_score(gold, rows.argmax(1)))
    chances = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
    assert score.loss == pytest.approx(sklearn.log_loss(gold, chances, labels=[0, 1, 2]))
    assert task.measure(examples, list(rows), LABELS, {}).all()["accuracy"] == score.value


@settings(deadline=None)
@given(SEEDS, st.integers(1, 25))
def test_micro_and_macro_f1_of_several_labels_are_those_of_scikit_learn(
    seed: int, count: int
) -> None:
    random = np.random.default_rng(seed)
    gold = random.random((count, 3)) < 0.4
    rows = random.normal(size=(count, 3)).astype(np.float32)
    examples = [
        LabelsExample(n, "x", tuple(np.array(LABELS)[marks].tolist()))
        for n, marks in enumerate(gold)
    ]
    task = task_of("multi-label-classification")
    limits = [0.3, 0.5, 0.6]
    found = task.measure(examples, list(rows), LABELS, {"thresholds": limits})
    answered = 1 / (1 + np.exp(-rows.astype(np.float64))) > np.array(limits)
    # A label that neither stands anywhere nor is answered has no F1; ours leaves it out.
    seen = (gold | answered).any(0)
    given_metrics = found.all()
    assert given_metrics["micro_f1"] == pytest.approx(
        sklearn.f1_score(gold, answered, average="micro", zero_division=0)
    )
    each = sklearn.f1_score(gold, answered, average=None, zero_division=0)
    assert given_metrics["macro_f1"] == pytest.approx(each[seen].mean() if seen.any() else 0.0)
    assert given_metrics["exact_match"] == pytest.approx(sklearn.accuracy_score(gold, answered))
    assert given_metrics["hamming_loss"] == pytest.approx(sklearn.hamming_loss(gold, answered))
    assert [row["f1"] for row in found.table] == pytest.approx(each.tolist())
    half = sklearn.f1_score(gold, rows > 0, average="micro", zero_division=0)
    assert task.score(examples, list(rows), LABELS).value == pytest.approx(half)


@settings(deadline=None)  # the first call imports seqeval
@given(SEEDS, st.integers(1, 12))
@pytest.mark.filterwarnings("ignore::UserWarning:seqeval")  # it warns of what has no F1
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_entity_f1_is_that_of_seqeval(seed: int, count: int) -> None:
    from seqeval.metrics import f1_score

    random = np.random.default_rng(seed)
    gold = [random.choice(len(TAGS), random.integers(1, 9)) for _ in range(count)]
    found = [np.where(random.random(len(tags)) < 0.6, tags, 0) for tags in gold]
    named = [[TAGS[place] for place in tags] for tags in gold]
    examples = [TaggedExample(n, ("x",) * len(tags), tuple(tags)) for n, tags in enumerate(named)]
    rows = [np.eye(5, dtype=np.float32)[tags] for tags in found]
    answered = [[TAGS[place] for place in best_tags(row, TAGS)] for row in rows]
    task = task_of("token-classification")
    expected = f1_score(named, answered, zero_division=0)
    assert task.score(examples, rows, TAGS).value == pytest.approx(expected)
    assert task.measure(examples, rows, TAGS, {}).all()["entity_f1"] == pytest.approx(expected)


@pytest.mark.parametrize("task", [task_of("regression"), task_of("pair-scoring")])
def test_figures_of_numbers_are_those_of_scipy_and_scikit_learn(task: Task) -> None:
    random = np.random.default_rng(3)
    gold = random.integers(0, 6, 50).astype(np.float64)
    found = gold + random.normal(0, 1.5, 50)
    rows = [np.array([value], np.float64) for value in found]
    examples: list[Any] = [
        ScoredExample(n, "x", value)
        if task.kind == "regression"
        else PairExample(n, "x", "y", score=value)
        for n, value in enumerate(gold.tolist())
    ]
    measured = task.measure(examples, rows, ["score"], {})
    given_metrics = measured.all()
    assert given_metrics == pytest.approx(
        {
            "pearson": stats.pearsonr(gold, found).statistic,
            "spearman": stats.spearmanr(gold, found).statistic,
            "rmse": sklearn.root_mean_squared_error(gold, found),
            "mae": sklearn.mean_absolute_error(gold, found),
        }
    )
    score = task.score(examples, rows, ["score"])
    assert score.value == given_metrics["pearson"]
    assert score.loss == pytest.approx(sklearn.mean_squared_error(gold, found))
    some = np.array([0, 0, 3, 7, 9])
    assert measured.metrics(some)["mae"] == pytest.approx(np.abs(gold - found)[some].mean())
    place, _, _, badness = measured.mistakes[0]
    assert badness == pytest.approx(np.abs(gold - found).max())
    assert place == np.abs(gold - found).argmax()


@pytest.mark.parametrize("task", [task_of("regression"), task_of("pair-scoring")])
def test_numbers_agree_where_they_differ_by_2_percent_of_their_range_at_most(task: Task) -> None:
    one = [np.array([value], np.float32) for value in (0.0, 50.0, 100.0, 25.0)]
    other = [np.array([value], np.float32) for value in (1.9, 52.1, 100.0, 22.9)]
    assert task.agreement(one, other, (), {}) == 0.5
    assert task.agreement(one, one, (), {}) == 1.0
    still = [np.array([3.0], np.float32)] * 4  # no range: only the same agrees
    assert task.agreement(still, still, (), {}) == 1.0
    assert task.agreement(still, one, (), {}) == 0.0


def test_figures_of_vectors_are_correlations_of_cosines() -> None:
    random = np.random.default_rng(5)
    pairs = random.normal(size=(40, 2, 6))
    pairs /= np.linalg.norm(pairs, axis=-1, keepdims=True)
    cosines = (pairs[:, 0] * pairs[:, 1]).sum(-1)
    gold = cosines + random.normal(0, 0.3, 40)
    examples = [PairExample(n, "x", "y", score=value) for n, value in enumerate(gold.tolist())]
    task = task_of("sentence-embedding")
    found = task.measure(examples, list(pairs), [], {}).all()
    assert found["spearman"] == pytest.approx(stats.spearmanr(gold, cosines).statistic)
    assert found["pearson"] == pytest.approx(stats.pearsonr(gold, cosines).statistic)
    assert task.score(examples, list(pairs), []).value == found["spearman"]
    turned = [row[::-1] for row in pairs]
    assert task.agreement(list(pairs), list(pairs), (), {}) == pytest.approx(1.0)
    assert task.agreement(list(pairs), turned, (), {}) == pytest.approx(cosines.mean())


@pytest.mark.parametrize("kind", ["text-classification", "pair-classification"])
def test_engines_agree_where_they_choose_the_same(kind: str) -> None:
    one = one_hot(np.array([0, 1, 2, 0]), 3)
    other = one_hot(np.array([0, 1, 1, 1]), 3)
    assert task_of(kind).agreement(one, other, (), {}) == 0.5


def test_engines_agree_on_labels_at_their_thresholds() -> None:
    task = task_of("multi-label-classification")
    one = [np.array([0.3, -0.3], np.float32)]
    other = [np.array([0.1, 0.3], np.float32)]
    assert task.agreement(one, other, (), {}) == 0.5
    assert task.agreement(one, other, (), {"thresholds": [0.5, 0.1]}) == 1.0
