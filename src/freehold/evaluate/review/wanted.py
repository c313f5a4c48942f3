"""Which unlabelled texts are worth labelling next: those that the model is unsure of, and that are
far from one another and from what is labelled.

Uncertainty is one minus the margin between the two likeliest labels (Scheffer, Decomain and Wrobel
2001, "Active Hidden Markov Models for Information Extraction"). Diversity is that of core-sets
(Sener and Savarese 2018, "Active Learning for Convolutional Neural Networks: A Core-Set Approach"):
greedily the text farthest from all that are labelled or chosen. The next choice is the text with
the largest product of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.errors import DataError
from freehold.evaluate.review.features import chances, judged, vectors
from freehold.tasks.types import Dataset
from freehold.train.encoders import EncoderFiles

__all__ = ["Wanted", "choose", "find_wanted"]

_BLOCK = 1024  # texts whose distances are held at a time

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text to label. `margin` is between the two likeliest labels, `distance` (0 to 2) that of
    its vector from the nearest one labelled or chosen before, one minus the cosine."""

    row: int
    text: str
    suggested: str
    confidence: float
    margin: float
    distance: float


def find_wanted(
    data: Dataset,
    pool: Dataset,
    files: EncoderFiles,
    *,
    most: int,
    max_length: int,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Wanted, ...]:
    """At most `most` texts of `pool`, the one to label first first; `data` is what is labelled.

    Raises DataError as `judged` does, and for an empty pool.
    """
    if not len(pool):
        raise DataError(f"{pool.path} holds no text.", hint="Name a file with some.")
    those = judged(data, least=1)
    rows = vectors(data, files, max_length=max_length, threads=threads, on_progress=on_progress)
    asked = vectors(pool, files, max_length=max_length, threads=threads, on_progress=on_progress)
    found = chances(rows[those.numbers], those.targets, len(those.labels), asked)
    highest = np.sort(found, axis=1)[:, -2:]
    margins = highest[:, 1] - highest[:, 0]
    return tuple(
        Wanted(
            pool.examples[place].row,
            pool.examples[place].text,
            those.labels[int(found[place].argmax())],
            float(found[place].max()),
            float(margins[place]),
            distance,
        )
        for place, distance in choose(1 - margins, asked, rows, most)
    )


def choose(
    unsure: Floats, asked: NDArray[np.float32], known: NDArray[np.float32], most: int
) -> list[tuple[int, float]]:
    """(place, distance when it was chosen) of the texts with the largest unsure x distance, each in
    view of those chosen before. A text that is a twin of a known or chosen one has the distance 0
    and is left out."""
    centre = known.mean(0)
    ways, others = _directions(asked - centre), _directions(known - centre)
    nearest = np.full(len(asked), 2.0)
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        nearest = np.minimum(nearest, 1 - (ways @ block.T).max(1))
    chosen: list[tuple[int, float]] = []
    for _ in range(min(most, len(asked))):
        nearest[nearest < _TWIN] = 0.0
        worth = unsure * nearest
        place = int(worth.argmax())
        if not worth[place]:
            break
        chosen.append((place, float(nearest[place])))
        nearest = np.minimum(nearest, 1 - ways @ ways[place])
        nearest[place] = 0.0
    return chosen


_TWIN = 1e-5  # a distance that rounding makes


def _directions(rows: NDArray[np.float32]) -> Floats:
    exact = rows.astype(np.float64)
    found: Floats = exact / np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), 1e-12)
    return found
