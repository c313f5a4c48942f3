"""A few examples of each label, drawn from a file that has more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from freehold.errors import DataError
from freehold.tasks.types import Dataset

__all__ = ["draw_shots"]


def draw_shots(data: Dataset, shots: int, *, seed: int) -> Dataset:
    """At most `shots` examples of each label, in the file's order; the same seed draws the same.

    Raises DataError where the examples have no single label each, or `shots` is below 1.
    """
    if shots < 1:
        raise DataError(f"{shots} examples a label leave nothing to learn from.", hint="Give 8.")
    numbers: dict[str, list[int]] = {}
    for number, example in enumerate(data.examples):
        if not isinstance(example.target, str):
            raise DataError(
                f"{data.path}, line {example.row}: the example has no single label to draw by.",
                hint="Drawing some examples a label is for tasks with one label a text.",
            )
        numbers.setdefault(example.target, []).append(number)
    random = np.random.default_rng([seed, shots])
    drawn = [
        int(number)
        for _, found in sorted(numbers.items())
        for number in random.choice(found, min(shots, len(found)), replace=False)
    ]
    note = f"{len(drawn):,} of {len(data):,} examples were drawn, at most {shots} a label"
    chosen = [data.examples[number] for number in sorted(drawn)]
    return replace(data, examples=chosen, notes=(*data.notes, note))
