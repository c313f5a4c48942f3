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

from freehold.evaluate.intervals import LEVEL, RESAMPLES, Interval
from freehold.tasks.base import Measured

__all__ = ["Paired", "behind", "compare"]


@dataclass(frozen=True, slots=True)
class Paired:
    """One model: its score with an interval, and how far it lies below the best one's."""

    score: float
    interval: Interval
    behind: float  # the best one's score less this one's, 0 or more
    behind_interval: Interval  # (0, 0) for the best itself


def compare(
    measured: Sequence[Measured],
    metric: str,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> list[Paired]:
    """Each model's `metric`, its interval and its distance from the best one (the first of equals).

    `measured` holds one a model, all of the same examples in the same order. The same seed gives
    the same intervals.
    """
    scores = [one.all()[metric] for one in measured]
    best = scores.index(max(scores))
    chance = np.random.default_rng([seed, 2])
    drawn = np.empty((resamples, len(measured)))
    for row in drawn:
        chosen = chance.integers(0, measured[0].n, measured[0].n)
        row[:] = [one.metrics(chosen)[metric] for one in measured]
    return [
        Paired(
            score,
            _middle(drawn[:, place], level),
            scores[best] - score,
            _middle(drawn[:, best] - drawn[:, place], level),
        )
        for place, score in enumerate(scores)
    ]


def _middle(values: NDArray[np.float64], level: float) -> Interval:
    """The middle `level`, leaving out resamples without a score."""
    tail = 100 * (1 - level) / 2
    low, high = np.nanpercentile(values, (tail, 100 - tail))
    return float(low), float(high)


def behind(
    one: Measured,
    base: Measured,
    metric: str,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[float, Interval]:
    """How far `one` lies below `base` on the same examples (negative: above), with its interval."""
    chance = np.random.default_rng([seed, 3])
    drawn = np.empty(resamples)
    for place in range(resamples):
        chosen = chance.integers(0, base.n, base.n)
        drawn[place] = base.metrics(chosen)[metric] - one.metrics(chosen)[metric]
    return base.all()[metric] - one.all()[metric], _middle(drawn, level)
