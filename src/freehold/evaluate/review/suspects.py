"""Labels that are likely wrong, by confident learning on out-of-fold probabilities.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels":
each text is judged by a model that did not see it; how often a confident answer differs from the
given label estimates how many labels are wrong, and those that fit their label worst are named.
The computation is cleanlab's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.errors import DataError
from freehold.evaluate.review.features import Judged, chances, folds_of, judged, vectors
from freehold.tasks.types import Dataset
from freehold.train.encoders import EncoderFiles

__all__ = ["FOLDS", "Suspect", "Suspects", "find_suspects"]

FOLDS = 5
# As many as confident learning estimates to be wrong, those with the least probable labels. Of
# cleanlab's ways it found most: with 3 % of banking77's labels changed at random (minilm, one
# draw) recall 0.94 at precision 0.86; prune_by_noise_rate 0.77 at 0.54, confident_learning 0.68
# at 0.62.
FILTER = "low_self_confidence"


@dataclass(frozen=True, slots=True)
class Suspect:
    """`quality` is the out-of-fold probability of the given label; `confidence` that of the
    suggested one."""

    row: int
    text: str
    given: str
    suggested: str
    quality: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Suspects:
    """Ranked, the likeliest error first; `n` examples were judged, `left_out` counts those of
    labels that have too few texts to be."""

    found: tuple[Suspect, ...]
    n: int
    agreement: float  # share of examples whose out-of-fold answer is the given label
    left_out: dict[str, int]


def find_suspects(
    data: Dataset,
    files: EncoderFiles,
    *,
    max_length: int,
    folds: int = FOLDS,
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Suspects:
    """Judge every label of `data` by models on the encoder `files` that did not see its text.

    Raises DataError as `judged` does, and for fewer than 2 folds.
    """
    from cleanlab.filter import find_label_issues

    if folds < 2:
        raise DataError(f"folds is {folds}, but has to be at least 2.")
    those = judged(data)
    rows = vectors(data, files, max_length=max_length, threads=threads, on_progress=on_progress)[
        those.numbers
    ]
    found = _out_of_fold(data, those, rows, folds, seed)
    order = find_label_issues(
        those.targets,
        found,
        return_indices_ranked_by="self_confidence",
        filter_by=FILTER,
        n_jobs=1,
    )
    return Suspects(
        tuple(_suspect(data, those, found, int(place)) for place in order),
        len(those.numbers),
        float((found.argmax(1) == those.targets).mean()),
        those.left_out,
    )


def _out_of_fold(
    data: Dataset, those: Judged, rows: NDArray[np.float32], folds: int, seed: int
) -> NDArray[np.float64]:
    texts = [data.examples[number].text for number in those.numbers]
    fold = folds_of(texts, those.targets, folds, seed)
    found = np.zeros((len(rows), len(those.labels)))
    for number in np.unique(fold).tolist():
        inside = fold == number
        found[inside] = chances(
            rows[~inside], those.targets[~inside], len(those.labels), rows[inside]
        )
    return found


def _suspect(data: Dataset, those: Judged, found: NDArray[np.float64], place: int) -> Suspect:
    example = data.examples[those.numbers[place]]
    best, given = int(found[place].argmax()), int(those.targets[place])
    return Suspect(
        example.row,
        example.text,
        those.labels[given],
        those.labels[best],
        float(found[place, given]),
        float(found[place, best]),
    )
