"""Bootstrap intervals: against the binomial, at the edges, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.evaluate import intervals
from freehold.evaluate.intervals import bootstrap
from freehold.evaluate.scores import label_ids, scores_of
from freehold.evaluate.tally import Counts, count_classes, count_tags

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
METRICS = {"accuracy", "micro_f1", "macro_f1", "weighted_f1"}


def tagged(gold: list[list[str]], predicted: list[list[str]]) -> Counts:
    flat = [[tag for sentence in side for tag in sentence] for side in (gold, predicted)]
    sentences = np.repeat(np.arange(len(gold)), [len(sentence) for sentence in gold])
    ids = [label_ids(side, TAGS) for side in flat]
    return count_tags(ids[0], ids[1], sentences, len(gold), TAGS)


def test_the_interval_of_accuracy_is_the_binomial_one() -> None:
    n, right = 400, 340
    gold = np.zeros(n, dtype=np.int64)
    predicted = (np.arange(n) >= right).astype(np.int64)
    low, high = bootstrap(count_classes(gold, predicted, ("a", "b"))).metrics["accuracy"]
    spread = 1.96 * np.sqrt(0.85 * 0.15 / n)
    assert low == pytest.approx(0.85 - spread, abs=0.006)
    assert high == pytest.approx(0.85 + spread, abs=0.006)


def test_each_score_lies_inside_its_interval() -> None:
    rng = np.random.default_rng(3)
    gold = [list(rng.choice(TAGS, 6)) for _ in range(80)]
    predicted = [[t if rng.random() < 0.8 else "O" for t in sentence] for sentence in gold]
    counts = tagged(gold, predicted)
    scores, found = scores_of(counts), bootstrap(counts)
    assert set(found.metrics) == METRICS | {"entity_f1"}
    for name, (low, high) in found.metrics.items():
        assert 0 <= low < getattr(scores, name) < high <= 1
    for row in scores.per_label.rows:
        limits = found.per_label[row.label]
        assert limits is not None
        assert limits[0] <= row.f1 <= limits[1]
    assert set(found.per_type) == {"PER", "LOC"}


def test_sentences_are_drawn_whole() -> None:
    # words of a sentence are all right or all wrong: the interval is that of 20 draws, not of 200
    gold = [["O"] * 10 for _ in range(20)]
    predicted = [["O" if i % 2 else "B-PER"] * 10 for i in range(20)]
    low, high = bootstrap(tagged(gold, predicted)).metrics["accuracy"]
    assert high - low > 0.35


def test_the_seed_decides() -> None:
    counts = count_classes(np.arange(60) % 3, np.arange(60) % 4 % 3, ("a", "b", "c"))
    assert bootstrap(counts, seed=5) == bootstrap(counts, seed=5)
    assert bootstrap(counts, seed=5) != bootstrap(counts, seed=6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = count_classes(np.arange(60) % 3, np.arange(60) % 4 % 3, ("a", "b", "c"))
    whole = bootstrap(counts)
    monkeypatch.setattr(intervals, "_BLOCK", 50)
    assert bootstrap(counts) == whole


@given(st.lists(st.lists(st.sampled_from(TAGS), max_size=5), min_size=1, max_size=8).filter(any))
@settings(max_examples=40, deadline=None)
def test_a_perfect_score_is_certain_however_rare_a_label(gold: list[list[str]]) -> None:
    counts = tagged(gold, gold)
    present = {tag for sentence in gold for tag in sentence}
    found = bootstrap(counts, resamples=50)
    for name in METRICS - {"macro_f1"}:
        assert found.metrics[name] == (1, 1)
    # labels the data lack count as 0, in each resample as in the score
    assert scores_of(counts).macro_f1 == pytest.approx(len(present) / len(TAGS))
    assert found.metrics["macro_f1"] == pytest.approx((len(present) / len(TAGS),) * 2)
    assert found.metrics["entity_f1"] == ((1, 1) if present - {"O"} else (0, 0))
    for tag in TAGS:
        assert found.per_label[tag] == ((1, 1) if tag in present else None)


@given(st.lists(st.sampled_from([0, 1, 2]), min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_a_perfect_classifier_scores_one_in_every_resample(labels: list[int]) -> None:
    ids = np.unique(np.array(labels), return_inverse=True)[1]
    names = tuple("abc"[: ids.max() + 1])
    found = bootstrap(count_classes(ids, ids, names), resamples=50)
    assert set(found.metrics) == METRICS
    assert set(found.metrics.values()) == {(1, 1)}
