"""Multi-label classification: every label that fits a text, perhaps none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.tasks.answers import LabelsAnswer
from freehold.tasks.base import Form, Logits, Measured, Parameters, Score, Settings, Task
from freehold.tasks.roles import LABELS, TEXT
from freehold.tasks.shapes import LabelScore, TopK
from freehold.tasks.tensors import chosen, scores
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import Dataset, LabelsExample

__all__ = ["TASK", "MultiLabel", "best_thresholds"]

HALF = 0.5
_FEW = 5  # examples of a label in dev below which its own threshold would be a matter of luck


class LabelsParameters(Parameters):
    top_k: TopK = None
    function_to_apply: Annotated[
        Literal["sigmoid"] | None,
        Meta(description="sigmoid only: each label has its own probability"),
    ] = None
    chosen: Annotated[
        bool | None,
        Meta(description="true: only the labels above their thresholds, perhaps none"),
    ] = None


class MultiLabel(Task):
    """A row of logits has one figure a label; each label's chance is its own, by a sigmoid."""

    kind = "multi-label-classification"
    score_name = "micro_f1"
    head = "labels"
    roles = (TEXT, LABELS)
    parameters = LabelsParameters
    tensors = (scores(), chosen())

    def example(self, row: int, values: Mapping[str, Any]) -> LabelsExample:
        return LabelsExample(row, values["text"], values.get("labels"))

    def labels(self, train: Dataset) -> list[str]:
        labels = train.labels()
        self.require_labels(train, labels)
        return labels

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[str]) -> list[Encoded]:
        return tokeniser.texts(inputs)

    def targets(
        self, encoded: Encoded, example: Any, labels: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        return [np.isin(np.array(labels), np.array(example.labels, dtype=str)).astype(np.float32)]

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Micro F1 at a chance of one half: thresholds are tuned once the weights stand."""
        gold, chances = _gold(examples, labels)[0], _chances(logits)
        rows = np.stack(logits).astype(np.float64)
        loss = np.logaddexp(0.0, rows) - rows * gold
        counts = _counts(gold, chances > HALF)
        return Score(_f1(*(count.sum() for count in counts)), float(loss.mean()))

    def tune(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> dict[str, Any]:
        """A threshold for each label."""
        return {"thresholds": best_thresholds(_gold(examples, labels)[0], _chances(logits))}

    def neutral(self, logits: Logits, settings: Settings) -> Logits:
        limits = np.clip(_thresholds(settings, len(logits)), 1e-6, 1 - 1e-6)
        moved: Logits = (logits - np.log(limits / (1 - limits))).astype(np.float32)
        return moved

    def measure(
        self,
        examples: Sequence[Any],
        logits: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> Measured:
        gold, unknown = _gold(examples, labels)
        chances = _chances(logits)
        found = chances > _thresholds(settings, len(labels))
        exact = (gold == found).all(1) & (unknown == 0)
        right, predicted, true = _counts(gold, found)

        def metrics(chosen: NDArray[np.int64]) -> dict[str, float]:
            a, b, c = (count[chosen].sum(0) for count in (right, predicted, true))
            missed = unknown[chosen].sum()  # labels that the model does not have
            each = [_f1(*one) for one in zip(a, b, c, strict=True) if one[1] + one[2]]
            return {
                "micro_f1": _f1(a.sum(), b.sum(), c.sum() + missed),
                "macro_f1": float(np.mean(each)) if each else 0.0,
                "exact_match": float(exact[chosen].mean()),
                "hamming_loss": float((gold[chosen] != found[chosen]).mean()),
            }

        sums = (right.sum(0), predicted.sum(0), true.sum(0))
        rows = [
            {
                "label": label,
                "precision": _share(a, b),
                "recall": _share(a, c),
                "f1": _f1(a, b, c),
                "support": int(c),
                "predicted": int(b),
            }
            for label, a, b, c in zip(labels, *sums, strict=True)
        ]
        return Measured(
            len(exact), metrics, table=rows, mistakes=_mistakes(examples, chances, found, labels)
        )

    def agreement(
        self,
        one: Sequence[Logits],
        other: Sequence[Logits],
        labels: Sequence[str],
        settings: Settings,
    ) -> float:
        limits = _thresholds(settings, len(one[0]))
        return float(((_chances(one) > limits) == (_chances(other) > limits)).mean())

    def answer(
        self, encoded: Encoded, logits: Logits, labels: Sequence[str], settings: Settings
    ) -> LabelsAnswer:
        chances = _chances([logits])[0]
        limits = _thresholds(settings, len(labels))
        order = np.argsort(-chances, kind="stable").tolist()
        return LabelsAnswer(
            tuple((labels[place], float(chances[place])) for place in order),
            tuple(labels[place] for place in order if chances[place] > limits[place]),
        )

    def render(
        self, answers: Sequence[LabelsAnswer], parameters: LabelsParameters, *, form: Form
    ) -> list[list[LabelScore]]:
        """As text-classification, each label with its own probability."""
        return [
            [
                {"label": label, "score": score}
                for label, score in answer.scores[: parameters.top_k]
                if not parameters.chosen or label in answer.chosen
            ]
            for answer in answers
        ]


def best_thresholds(gold: NDArray[np.bool_], chances: NDArray[np.float64]) -> list[float]:
    """The threshold of each label that gives its best F1, halfway between two chances; (n, labels)
    each. A label with fewer than 5 examples takes the one that is best for all of them together.
    """
    common = _best(gold.ravel(), chances.ravel())
    return [
        _best(gold[:, label], chances[:, label]) if gold[:, label].sum() >= _FEW else common
        for label in range(gold.shape[1])
    ]


def _best(gold: NDArray[np.bool_], chances: NDArray[np.float64]) -> float:
    order = np.argsort(-chances, kind="stable")
    ranked, right = chances[order], np.cumsum(gold[order])
    if not len(ranked) or not right[-1]:
        return HALF
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + right[-1])
    f1[:-1][ranked[:-1] == ranked[1:]] = -1.0  # equal chances cannot be told apart
    best = int(f1.argmax())
    # Where all are taken, also one whose chance is 0.
    below = ranked[best + 1] if best + 1 < len(ranked) else -1e-9
    return float((ranked[best] + below) / 2)


def _gold(
    examples: Sequence[Any], labels: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """(n, labels) which labels fit, and (n,) how many more that the model does not have."""
    place = {label: number for number, label in enumerate(labels)}
    gold = np.zeros((len(examples), len(labels)), np.bool_)
    unknown = np.zeros(len(examples), np.int64)
    for row, example in enumerate(examples):
        for label in example.labels:
            if label in place:
                gold[row, place[label]] = True
            else:
                unknown[row] += 1
    return gold, unknown


def _chances(logits: Sequence[Logits]) -> NDArray[np.float64]:
    rows = np.stack(logits).astype(np.float64)
    chances: NDArray[np.float64] = np.exp(-np.logaddexp(0.0, -rows))
    return chances


def _thresholds(settings: Settings, labels: int) -> NDArray[np.float64]:
    return np.array(settings.get("thresholds") or [HALF] * labels, np.float64)


def _counts(
    gold: NDArray[np.bool_], found: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Right, predicted and true, each (n, labels)."""
    return gold & found, found, gold


def _f1(right: Any, predicted: Any, true: Any) -> float:
    return float(2 * right / (predicted + true)) if predicted + true else 0.0


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else 0.0


def _mistakes(
    examples: Sequence[Any],
    chances: NDArray[np.float64],
    found: NDArray[np.bool_],
    labels: Sequence[str],
) -> list[tuple[int, str, str, float]]:
    """The texts with the most labels wrong, of as many the surest."""
    gold = _gold(examples, labels)[0]
    wrong = (gold != found).sum(1)
    sure = np.where(gold != found, np.abs(chances - HALF), 0.0).max(1)
    order = np.lexsort((-sure, -wrong))[:30]
    return [
        (
            int(n),
            ", ".join(examples[n].labels) or "–",
            ", ".join(label for label, is_in in zip(labels, found[n], strict=True) if is_in) or "–",
            float(wrong[n]),
        )
        for n in order
        if wrong[n]
    ]


TASK = MultiLabel()
