"""What the tasks share that choose one label of several."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.tasks.answers import TextAnswer, softmax
from freehold.tasks.base import Form, Logits, Measured, Parameters, Score, Settings, Task
from freehold.tasks.shapes import LabelScore, TopK
from freehold.tasks.tensors import numbers, scores, texts
from freehold.tasks.tokenise import Encoded
from freehold.tasks.types import Dataset

__all__ = ["Choice", "LabelParameters", "mean_loss"]

_CHANCE = itemgetter(1)


class LabelParameters(Parameters):
    top_k: TopK = None
    function_to_apply: Annotated[
        Literal["softmax"] | None,
        Meta(description="softmax only: scores are calibrated probabilities"),
    ] = None


class Choice(Task):
    """One label of several: a row of logits has a figure a label, a softmax makes them chances."""

    score_name = "accuracy"
    head = "label"
    chooses = True
    parameters = LabelParameters
    tensors = (texts("label"), numbers("score"), scores())

    def labels(self, train: Dataset) -> list[str]:
        labels = train.labels()
        self.require_labels(train, labels)
        return labels

    def targets(
        self, encoded: Encoded, example: Any, labels: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        return [np.array(labels.index(example.label), np.int64)]

    def decisions(self, example: Any) -> tuple[str, ...] | None:
        return None if example.label is None else (example.label,)

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Accuracy; a label that training never saw counts as answered wrongly."""
        gold = self._gold(examples, labels)
        rows = np.stack(logits)
        return Score(float((rows.argmax(1) == gold).mean()), mean_loss(rows, gold))

    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        right = np.stack(logits).argmax(1) == self._gold(examples, labels)
        return Measured(len(right), lambda chosen: {"accuracy": float(right[chosen].mean())})

    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> TextAnswer:
        chances = softmax(logits, float(settings.get("temperature", 1.0)))
        # The first of equal ones stays first. Not numpy's sort, which lets other threads run.
        scored = sorted(zip(labels, chances.tolist(), strict=True), key=_CHANCE, reverse=True)
        return TextAnswer(tuple(scored))

    def render(
        self, answers: Sequence[TextAnswer], parameters: LabelParameters, *, form: Form
    ) -> list[list[LabelScore]]:
        """A list of labels for each input, even where there is one input."""
        return [
            [{"label": label, "score": score} for label, score in answer.scores[: parameters.top_k]]
            for answer in answers
        ]

    def _gold(self, examples: Sequence[Any], labels: Sequence[str]) -> NDArray[np.int64]:
        """(n,) places of the labels; -1 for one that the model does not have."""
        place = {label: number for number, label in enumerate(labels)}
        return np.array([place.get(example.label or "", -1) for example in examples])


def mean_loss(logits: Logits, gold: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of (n, labels) logits; gold of -1 (unknown) is left out."""
    rows, targets = logits[gold >= 0].astype(np.float64), gold[gold >= 0]
    if not len(rows):
        return 0.0
    highest = rows.max(1, keepdims=True)
    norm = np.log(np.exp(rows - highest).sum(1)) + highest[:, 0]
    return float((norm - rows[np.arange(len(rows)), targets]).mean())
