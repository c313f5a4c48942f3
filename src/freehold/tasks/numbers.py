"""What the tasks share that answer with a number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import TrainError
from freehold.tasks.answers import NumberAnswer
from freehold.tasks.base import Form, Logits, Measured, Score, Settings, Task
from freehold.tasks.tensors import numbers
from freehold.tasks.tokenise import Encoded
from freehold.tasks.types import Dataset

__all__ = ["Number", "correlation", "ranks", "spearman"]

_CLOSE = 0.02  # of the range of the answers: two engines that differ by no more agree


class Number(Task):
    """One figure an input, in the units of the training data."""

    score_name = "pearson"
    head = "number"
    tensors = (numbers("score"),)

    def labels(self, train: Dataset) -> list[str]:
        found = {example.target for example in train.examples}
        if len(found) < 2:
            raise TrainError(
                f"{train.path} has the same score throughout; there is nothing to learn from it.",
                hint="Add examples with other scores.",
            )
        return ["score"]

    def targets(
        self, encoded: Encoded, example: Any, labels: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        return [np.array(example.score, np.float32)]

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        gold, found = _gold(examples), _found(logits)
        return Score(correlation(gold, found), float(((gold - found) ** 2).mean()))

    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        gold, found = _gold(examples), _found(logits)

        def metrics(chosen: NDArray[np.int64]) -> dict[str, float]:
            one, other = gold[chosen], found[chosen]
            return {
                "pearson": correlation(one, other),
                "spearman": spearman(one, other),
                "rmse": float(np.sqrt(((one - other) ** 2).mean())),
                "mae": float(np.abs(one - other).mean()),
            }

        distance = np.abs(gold - found)
        worst = np.argsort(-distance, kind="stable")[:30].tolist()
        mistakes = [(n, f"{gold[n]:g}", f"{found[n]:.3f}", float(distance[n])) for n in worst]
        return Measured(len(gold), metrics, mistakes=mistakes)

    def agreement(
        self,
        one: Sequence[Logits],
        other: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> float:
        """Share of answers that differ by at most 2 % of the answers' range."""
        first, second = _found(one), _found(other)
        near = _CLOSE * max(float(np.ptp(first)), 1e-6)
        return float((np.abs(first - second) <= near).mean())

    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> NumberAnswer:
        return NumberAnswer(float(logits[0]))

    def render(self, answers: Sequence[NumberAnswer], parameters: Any, *, form: Form) -> Any:
        """As text-classification has it of a model with one figure."""
        return [[{"label": "score", "score": answer.score}] for answer in answers]


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's r, -1..1; 0 where one of the two does not vary."""
    if not np.ptp(one) or not np.ptp(other):  # rounding of the mean would make it vary
        return 0.0
    a, b = one - one.mean(), other - other.mean()
    norm = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / norm) if norm > 0 else 0.0


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Spearman's rho: Pearson's r of the ranks, equal values sharing the mean of theirs."""
    return correlation(ranks(one), ranks(other))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean ranks from 0, shape (n,)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: NDArray[np.float64] = (ends - (counts + 1) / 2)[place]
    return means


def _gold(examples: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([example.score for example in examples], np.float64)


def _found(logits: Sequence[Logits]) -> NDArray[np.float64]:
    return np.array([row[0] for row in logits], np.float64)
