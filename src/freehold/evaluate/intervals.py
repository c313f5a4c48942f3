"""How sure a score is: bootstrap percentile intervals over the examples.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13. Whole examples are drawn
with replacement (sentences for tagging: words of a sentence are not independent), each resample as
large as the data, and the middle 95 % of the resamples' scores is the interval.

It speaks of the sampling of the test examples alone: not of another training seed, nor of texts
unlike these. It cannot see an error the data do not hold: a perfect score gets [1, 1].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.evaluate.scores import f1, ratio
from freehold.evaluate.tally import Counts, FloatArray, Tally

__all__ = ["LEVEL", "RESAMPLES", "Interval", "Intervals", "bootstrap"]

RESAMPLES = 1000
LEVEL = 0.95
_BLOCK = 4_000_000  # weights held at a time (32 MB), so that a large file needs no large memory

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Intervals:
    """Low and high of each figure.

    `metrics` has accuracy, micro_f1, macro_f1, weighted_f1 and, for tagging, entity_f1. `per_label`
    and `per_type` hold the F1 of each label and entity type, None where it never occurs.
    """

    level: float
    resamples: int
    metrics: dict[str, Interval]
    per_label: dict[str, Interval | None]
    per_type: dict[str, Interval | None]


def bootstrap(
    counts: Counts, *, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL
) -> Intervals:
    """Percentile intervals from `resamples` draws; the same seed gives the same intervals.

    A label that a resample happens to miss altogether is left out of that resample's means: it has
    no F1 there, and calling it 0 would pull the interval below the score of a perfect model.
    """
    samples: dict[str, list[FloatArray]] = {}
    for weights in _draws(counts.examples, resamples, np.random.default_rng([seed, 1])):
        for name, values in _resampled(counts, weights).items():
            samples.setdefault(name, []).append(values)
    columns = {name: np.concatenate(blocks) for name, blocks in samples.items()}
    per_label = _limits(columns.pop("per_label"), level)
    per_type = _limits(columns.pop("per_type"), level) if "per_type" in columns else []
    metrics = {name: _limits(values[:, None], level)[0] for name, values in columns.items()}
    types = counts.entities.names if counts.entities else ()
    return Intervals(
        level,
        resamples,
        {name: limits or (0.0, 0.0) for name, limits in metrics.items()},
        dict(zip(counts.labels.names, per_label, strict=True)),
        dict(zip(types, per_type, strict=True)),
    )


def _draws(
    examples: NDArray[np.int64], resamples: int, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """How often each row is drawn, in blocks of shape (some, rows).

    Drawing n examples with replacement is a multinomial draw over the rows they share.
    """
    n = int(examples.sum())
    share = examples / n
    step = max(1, _BLOCK // len(examples))
    for begin in range(0, resamples, step):
        yield rng.multinomial(n, share, size=min(step, resamples - begin)).astype(np.float64)


def _resampled(counts: Counts, weights: FloatArray) -> dict[str, FloatArray]:
    """Each metric's value in each resample, (resamples,), and F1s of shape (resamples, classes)."""
    label = _Totals.of(counts.labels, weights)
    present = label.present()
    scores = f1(label.correct, label.predicted, label.true)
    support = label.true.sum(axis=1)
    # labels that occur nowhere in the data count as 0 here too, as they do in the score itself
    occurs = ((counts.labels.predicted + counts.labels.true).sum(axis=0) > 0).mean()
    values = {
        "accuracy": ratio(label.correct.sum(axis=1), support),
        "micro_f1": label.micro(),
        "macro_f1": ratio(scores.sum(axis=1), present.sum(axis=1).astype(np.float64)) * occurs,
        "weighted_f1": ratio((scores * label.true).sum(axis=1), support),
    }
    # a resample of nothing but empty sentences has no score
    values = {name: np.where(support > 0, column, np.nan) for name, column in values.items()}
    values["per_label"] = np.where(present, scores, np.nan)
    if counts.entities is not None:
        entity = _Totals.of(counts.entities, weights)
        seen = entity.present()
        values["entity_f1"] = np.where(seen.any(axis=1), entity.micro(), np.nan)
        scores = f1(entity.correct, entity.predicted, entity.true)
        values["per_type"] = np.where(seen, scores, np.nan)
    return values


@dataclass(frozen=True, eq=False)
class _Totals:
    """A tally summed over each resample, each array (resamples, classes)."""

    correct: FloatArray
    predicted: FloatArray
    true: FloatArray

    @classmethod
    def of(cls, tally: Tally, weights: FloatArray) -> _Totals:
        return cls(weights @ tally.correct, weights @ tally.predicted, weights @ tally.true)

    def present(self) -> NDArray[np.bool_]:
        return (self.predicted + self.true) > 0

    def micro(self) -> FloatArray:
        return f1(self.correct.sum(axis=1), self.predicted.sum(axis=1), self.true.sum(axis=1))


def _limits(values: FloatArray, level: float) -> list[Interval | None]:
    """The middle `level` of each column of (resamples, columns), leaving out not-a-number."""
    tail = 100 * (1 - level) / 2
    limits: list[Interval | None] = []
    for column in values.T:
        usable = column[~np.isnan(column)]
        low_high = np.percentile(usable, (tail, 100 - tail)) if usable.size else None
        limits.append(None if low_high is None else (float(low_high[0]), float(low_high[1])))
    return limits
