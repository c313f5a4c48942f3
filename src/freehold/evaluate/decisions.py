"""A data set and a model's logits side by side, checked, as one row a decision.

A decision is what accuracy counts: a text's label, or a word's tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.errors import DataError
from freehold.evaluate.scores import label_ids, label_universe
from freehold.evaluate.spans import IntArray
from freehold.evaluate.tally import Counts, FloatArray, count_classes, count_tags
from freehold.tasks.bio import best_tags
from freehold.tasks.registry import task_of
from freehold.tasks.types import AnyExample, Dataset, TaggedExample

__all__ = ["Decisions", "Logits", "decide"]

Logits = Sequence[NDArray[np.float32]] | Sequence[FloatArray] | NDArray[np.float32] | FloatArray


@dataclass(frozen=True, eq=False)
class Decisions:
    """One row a decision.

    `names` are the model's labels, then those that only the data have. `gold` and `predicted` (n,)
    index it; `logits` (n, C) spans the model's labels alone. `examples` (n,) is the position of
    each decision's example in the data set, ascending; `words` (n,) its word's position there (0
    for a text).
    """

    names: tuple[str, ...]
    gold: IntArray
    predicted: IntArray
    logits: FloatArray
    examples: IntArray
    words: IntArray
    total: int  # examples
    tagging: bool

    def counts(self) -> Counts:
        if self.tagging:
            return count_tags(self.gold, self.predicted, self.examples, self.total, self.names)
        return count_classes(self.gold, self.predicted, self.names)


def decide(dataset: Dataset, logits: Logits, labels: Sequence[str]) -> Decisions:
    """Match each logit to its gold label.

    `logits` holds one array an example, in the data's order: (C,) a text, (words, C) a sentence, C
    being `len(labels)`. Raises DataError when the data hold no labelled example, when an example
    lacks its label, or when the logits do not fit the data or the labels.
    """
    if len(dataset) == 0:
        raise DataError(
            f"{dataset.path} holds no example to evaluate on.",
            hint="Name a file with labelled examples.",
        )
    if len(logits) != len(dataset):
        raise DataError(
            f"{dataset.path} holds {len(dataset)} examples and the model answered {len(logits)}.",
            hint="Predict the whole file again.",
        )
    gold = [_gold(dataset, example) for example in dataset.examples]
    sizes = [len(names) for names in gold]
    if not any(sizes):
        raise DataError(f"{dataset.path} holds no words.", hint="Each example needs tokens.")
    rows = _rows(dataset, logits, sizes, len(labels))
    flat = [name for names in gold for name in names]
    names = label_universe(labels, flat)
    starts = np.repeat(np.cumsum(sizes) - np.array(sizes), sizes)
    return Decisions(
        names=names,
        gold=label_ids(flat, names),
        predicted=_predicted(dataset, logits, labels, rows),
        logits=rows,
        examples=np.repeat(np.arange(len(dataset)), sizes),
        words=(np.arange(len(flat)) - starts).astype(np.int64),
        total=len(dataset),
        tagging=dataset.task == "token-classification",
    )


def _predicted(
    dataset: Dataset, logits: Logits, labels: Sequence[str], rows: FloatArray
) -> IntArray:
    """What the model answers: the likeliest label, or tags that make a valid sequence."""
    if dataset.task != "token-classification":
        best: IntArray = rows.argmax(axis=1)
        return best
    return np.concatenate([best_tags(np.asarray(row), labels) for row in logits])


def _gold(dataset: Dataset, example: AnyExample) -> tuple[str, ...]:
    """The gold labels of one example, one a decision."""
    found = task_of(dataset.task).decisions(example)
    if isinstance(example, TaggedExample) and len(found or example.tokens) != len(example.tokens):
        raise DataError(
            f"{dataset.path}, line {example.row}: {len(example.tokens)} words have "
            f"{len(found or ())} tags.",
            hint="Give every word one tag.",
        )
    if found is None:
        raise DataError(
            f"{dataset.path}, line {example.row}: the example has no label to compare with.",
            hint="Evaluate on a file in which every example is labelled.",
        )
    return found


def _rows(dataset: Dataset, logits: Logits, sizes: Sequence[int], labels: int) -> FloatArray:
    """All logits as (decisions, labels), each row with a finite maximum and no not-a-number."""
    tagging = dataset.task == "token-classification"
    for position, (size, row) in enumerate(zip(sizes, logits, strict=True)):
        where = f"{dataset.path}, line {dataset.examples[position].row}"
        shape = (size, labels) if tagging else (labels,)
        if np.shape(row) != shape:
            raise DataError(
                f"{where}: the model's answer has the shape {np.shape(row)}, not {shape}.",
                hint="The answers, the data and the labels must come from the same model and file.",
            )
        if np.isnan(row).any() or not np.isfinite(np.max(row, axis=-1)).all():
            raise DataError(
                f"{where}: the model's answer is not a finite number.",
                hint="The checkpoint is damaged or its training diverged; train it again.",
            )
    stacked = np.concatenate(list(logits)) if tagging else np.stack(list(logits))
    return stacked.astype(np.float64)
