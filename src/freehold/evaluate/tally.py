"""Counts per example, from which every score is computed, once for the data and once a resample.

Precision, recall and F1 need three counts a class: correct, predicted and true. They add up over
examples, so a resample of the examples is a weighted sum of rows kept here, never a second scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.evaluate.spans import IntArray, entity_type, find_spans

__all__ = ["Counts", "FloatArray", "Tally", "count_classes", "count_tags"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tally:
    """Correct, predicted and true counts, each of shape (rows, classes).

    Whole numbers held as float64: sums stay exact to 2**53, and products run through BLAS.
    """

    names: tuple[str, ...]
    correct: FloatArray
    predicted: FloatArray
    true: FloatArray


@dataclass(frozen=True, eq=False)
class Counts:
    """What the examples of a data set contributed.

    Examples that contribute the same share a row; `examples` (rows,) says how many do. `labels`
    counts the decisions (a text's label, or each word's tag), `entities` whole entities (tagging).
    """

    examples: IntArray
    labels: Tally
    confusion: IntArray  # (classes, classes), gold down, predicted across
    entities: Tally | None = None


def count_classes(gold: IntArray, predicted: IntArray, names: Sequence[str]) -> Counts:
    """Counts of single-label decisions: `gold` and `predicted` (examples,) index `names`.

    One row for each pair (gold, predicted) that occurs: texts of a pair are interchangeable.
    """
    size = len(names)
    confusion = _confusion(gold, predicted, size)
    row_gold, row_predicted = np.nonzero(confusion)
    one_hot = np.eye(size)
    true, guess = one_hot[row_gold], one_hot[row_predicted]
    labels = Tally(tuple(names), true * guess, guess, true)
    return Counts(confusion[row_gold, row_predicted], labels, confusion)


def count_tags(
    gold: IntArray, predicted: IntArray, sentences: IntArray, total: int, names: Sequence[str]
) -> Counts:
    """Counts of tagged words, one row a sentence.

    `gold`, `predicted` and `sentences` have shape (words,): tags as indices into `names`, and the
    sentence 0..total-1 of each word, ascending.
    """
    size = len(names)
    hit = gold == predicted
    labels = Tally(
        tuple(names),
        _rows(sentences[hit], gold[hit], total, size),
        _rows(sentences, predicted, total, size),
        _rows(sentences, gold, total, size),
    )
    entities = _count_entities(gold, predicted, sentences, total, names)
    return Counts(np.ones(total, np.int64), labels, _confusion(gold, predicted, size), entities)


def _count_entities(
    gold: IntArray, predicted: IntArray, sentences: IntArray, total: int, names: Sequence[str]
) -> Tally:
    """Whole entities: correct means the same first word, last word and type."""
    # only types that occur, as seqeval has it: a tag the model could have used makes no entity
    used = (entity_type(names[tag]) for tag in np.union1d(gold, predicted))
    types = sorted({kind for kind in used if kind is not None})
    true = find_spans(gold, sentences, names, types)
    guess = find_spans(predicted, sentences, names, types)
    # at most one entity begins at a word, so a lookup by first word pairs them up
    end_at = np.full(len(gold), -1)
    type_at = np.full(len(gold), -1)
    end_at[true.start], type_at[true.start] = true.end, true.type
    hit = (end_at[guess.start] == guess.end) & (type_at[guess.start] == guess.type)
    size = len(types)
    return Tally(
        tuple(types),
        _rows(sentences[guess.start[hit]], guess.type[hit], total, size),
        _rows(sentences[guess.start], guess.type, total, size),
        _rows(sentences[true.start], true.type, total, size),
    )


def _rows(rows: IntArray, classes: IntArray, total: int, size: int) -> FloatArray:
    """Occurrences of each (row, class), shape (total, size)."""
    flat = np.bincount(rows * size + classes, minlength=total * size)
    return flat.reshape(total, size).astype(np.float64)


def _confusion(gold: IntArray, predicted: IntArray, size: int) -> IntArray:
    return np.bincount(gold * size + predicted, minlength=size * size).reshape(size, size)
