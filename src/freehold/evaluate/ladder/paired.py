"""Scores of several models on the same examples, with intervals of each and of their differences.

The examples are drawn with replacement once for all models (a paired bootstrap: Efron and
Tibshirani 1993, "An Introduction to the Bootstrap", chapters 13 and 16; for NLP Berg-Kirkpatrick
et al. 2012). What makes one example hard is hard for all, so a difference is known much better
than its two ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.data.types import Example, TaggedExample
from freehold.errors import DataError
from freehold.evaluate.intervals import LEVEL, RESAMPLES, Interval
from freehold.evaluate.spans import find_spans

__all__ = ["Counts", "Paired", "compare", "count"]

Counts = NDArray[np.float64]
_BLOCK = 4_000_000  # draws held at a time


@dataclass(frozen=True, slots=True)
class Paired:
    """One model: its score with an interval, and how far it lies below the best one's."""

    score: float
    interval: Interval
    behind: float  # the best one's score less this one's, 0 or more
    behind_interval: Interval  # (0, 0) for the best itself


def count(
    examples: Sequence[Example] | Sequence[TaggedExample],
    answers: Sequence[str] | Sequence[Sequence[str]],
) -> Counts:
    """(examples, 3): right, answered and expected. A text has one of each but perhaps the first; of
    a sentence whole entities are counted. 2 right / (answered + expected), summed over examples, is
    then accuracy, or entity F1. Raises DataError for an example without a label."""
    rows = np.zeros((len(examples), 3))
    every: Sequence[Example | TaggedExample] = examples
    for row, example, answer in zip(rows, every, answers, strict=True):
        gold = example.tags if isinstance(example, TaggedExample) else example.label
        if gold is None:
            raise DataError(f"The example in line {example.row} has no label.")
        if isinstance(gold, str):
            row[:] = gold == answer, 1, 1
        else:
            expected, found = _entities(gold), _entities(answer)
            row[:] = len(expected & found), len(found), len(expected)
    return rows


def compare(
    counted: Sequence[Counts],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> list[Paired]:
    """Each model's score, interval and distance from the best one (the first of equals).

    `counted` holds one array of `count` a model, all over the same examples. The same seed gives
    the same intervals.
    """
    scores = [float(_score(counts.sum(0))) for counts in counted]
    best = scores.index(max(scores))
    drawn = _resampled(np.stack(counted), np.random.default_rng([seed, 2]), resamples)
    return [
        Paired(
            score,
            _middle(drawn[:, place], level),
            scores[best] - score,
            _middle(drawn[:, best] - drawn[:, place], level),
        )
        for place, score in enumerate(scores)
    ]


def _resampled(counted: Counts, rng: np.random.Generator, resamples: int) -> NDArray[np.float64]:
    """(resamples, models) scores; `counted` is (models, examples, 3)."""
    n = counted.shape[1]
    step = max(1, _BLOCK // n)
    blocks = []
    for begin in range(0, resamples, step):
        size = min(step, resamples - begin)
        times = rng.multinomial(n, np.full(n, 1 / n), size=size).astype(np.float64)
        blocks.append(np.stack([_score(times @ counts) for counts in counted], axis=1))
    return np.concatenate(blocks)


def _score(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over the last axis; 0 where nothing is expected and nothing answered."""
    right, answered, expected = counts[..., 0], counts[..., 1], counts[..., 2]
    found: NDArray[np.float64] = 2 * right / np.maximum(answered + expected, 1)
    return found


def _middle(values: NDArray[np.float64], level: float) -> Interval:
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return float(low), float(high)


def _entities(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    names = sorted(set(tags))
    types = sorted({name.partition("-")[2] or name for name in names})
    numbers = np.array([names.index(tag) for tag in tags], np.int64)
    spans = find_spans(numbers, np.zeros(len(tags), np.int64), names, types)
    return {
        (int(a), int(b), types[int(kind)])
        for a, b, kind in zip(spans.start, spans.end, spans.type, strict=True)
    }
