"""Precision, recall and F1 of each label, their averages, and the same for whole entities.

Label figures are those of scikit-learn's `precision_recall_fscore_support(labels=…,
zero_division=0)`; entity figures those of seqeval's, given no scheme (see `spans`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from freehold.errors import DataError
from freehold.evaluate.spans import IntArray
from freehold.evaluate.tally import Counts, FloatArray, Tally, count_classes, count_tags

__all__ = [
    "Average",
    "LabelScore",
    "Scores",
    "Table",
    "classification_scores",
    "f1",
    "label_ids",
    "label_universe",
    "macro",
    "ratio",
    "scores_of",
    "tagging_scores",
]


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label's (or entity type's) figures; `support` is how often it is right, `predicted` how
    often the model says it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True, slots=True)
class Average:
    """A mean over labels; `support` is the number of decisions (or gold entities) behind it."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class Table:
    """A row for each label and three means over them.

    micro: from the counts summed over labels. macro: each label weighs the same. weighted: each
    label weighs as much as its support.
    """

    rows: tuple[LabelScore, ...]
    micro: Average
    macro: Average
    weighted: Average


@dataclass(frozen=True, eq=False)
class Scores:
    """All scores of one set of predictions.

    `n` counts the decisions: texts, or words for tagging. `labels` names the rows of `per_label`
    and both sides of `confusion` (labels, labels), gold down and predicted across: first the
    model's labels in its order, then those that only the data have. `entities` is None for
    text-classification.
    """

    n: int
    accuracy: float
    labels: tuple[str, ...]
    per_label: Table
    confusion: IntArray
    entities: Table | None = None

    @property
    def micro_f1(self) -> float:
        return self.per_label.micro.f1

    @property
    def macro_f1(self) -> float:
        return self.per_label.macro.f1

    @property
    def weighted_f1(self) -> float:
        return self.per_label.weighted.f1

    @property
    def entity_f1(self) -> float | None:
        """Micro-averaged F1 over whole entities; None for text-classification."""
        return None if self.entities is None else self.entities.micro.f1


def classification_scores(
    gold: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> Scores:
    """Scores of one label a text. A label outside `labels` joins the table after them.

    Raises DataError when there is nothing to score, ValueError when the lengths differ.
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} gold labels for {len(predicted)} predictions")
    names = label_universe(labels, [*gold, *predicted])
    return scores_of(count_classes(label_ids(gold, names), label_ids(predicted, names), names))


def tagging_scores(
    gold_tags: Sequence[Sequence[str]],
    predicted_tags: Sequence[Sequence[str]],
    labels: Sequence[str],
) -> Scores:
    """Scores of one tag a word: over words (all tags, "O" included) and over whole entities.

    Raises DataError when there is no word, ValueError when the shapes differ.
    """
    lengths = [len(tags) for tags in gold_tags]
    if lengths != [len(tags) for tags in predicted_tags]:
        raise ValueError("gold and predicted tags differ in their number of sentences or words")
    gold = [tag for tags in gold_tags for tag in tags]
    predicted = [tag for tags in predicted_tags for tag in tags]
    names = label_universe(labels, [*gold, *predicted])
    sentences = np.repeat(np.arange(len(lengths)), lengths)
    ids = label_ids(gold, names), label_ids(predicted, names)
    return scores_of(count_tags(*ids, sentences, len(lengths), names))


def label_universe(labels: Sequence[str], seen: Iterable[str]) -> tuple[str, ...]:
    """The model's labels in its order, then those in `seen` that it does not know, sorted."""
    return (*labels, *sorted(set(seen) - set(labels)))


def label_ids(names: Sequence[str], universe: Sequence[str]) -> IntArray:
    """The position of each name in `universe`, shape (names,)."""
    index = {name: position for position, name in enumerate(universe)}
    return np.fromiter((index[name] for name in names), dtype=np.int64, count=len(names))


def scores_of(counts: Counts) -> Scores:
    """The scores of the data that were counted. Raises DataError when there is nothing to score."""
    n = int(counts.confusion.sum())
    if n == 0:
        raise DataError("There is nothing to score.", hint="Name a file with labelled examples.")
    return Scores(
        n=n,
        accuracy=float(np.trace(counts.confusion) / n),
        labels=counts.labels.names,
        per_label=_table(counts.labels, counts.examples),
        confusion=counts.confusion,
        entities=None if counts.entities is None else _table(counts.entities, counts.examples),
    )


def ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """`part / whole`, and 0 where `whole` is 0 (scikit-learn's zero_division=0)."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)


def f1(correct: FloatArray, predicted: FloatArray, true: FloatArray) -> FloatArray:
    """The harmonic mean of precision and recall: 2 correct / (predicted + true); 0 where undefined.

    van Rijsbergen 1979, "Information Retrieval", chapter 7, with equal weight for both.
    """
    return ratio(2 * correct, predicted + true)


def macro(values: FloatArray) -> float:
    """The plain mean; 0 over no label at all."""
    return float(values.mean()) if values.size else 0.0


def _table(tally: Tally, weight: IntArray) -> Table:
    weights = weight.astype(np.float64)
    correct, predicted, true = (weights @ m for m in (tally.correct, tally.predicted, tally.true))
    precision, recall, score = (
        ratio(correct, predicted),
        ratio(correct, true),
        f1(correct, predicted, true),
    )
    support = int(true.sum())
    rows = tuple(
        LabelScore(name, float(p), float(r), float(f), int(t), int(g))
        for name, p, r, f, t, g in zip(
            tally.names, precision, recall, score, true, predicted, strict=True
        )
    )
    sums = [counts.sum(keepdims=True) for counts in (correct, predicted, true)]
    share = ratio(true, np.full_like(true, support))
    return Table(
        rows,
        micro=Average(
            float(ratio(sums[0], sums[1])[0]),
            float(ratio(sums[0], sums[2])[0]),
            float(f1(*sums)[0]),
            support,
        ),
        macro=Average(macro(precision), macro(recall), macro(score), support),
        weighted=Average(
            float(share @ precision), float(share @ recall), float(share @ score), support
        ),
    )
