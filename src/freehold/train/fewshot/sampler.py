"""Batches of some labels with some examples each, drawn step by step.

A list of all pairs grows with the square of the data. Here a step draws its own examples, and all
pairs within them count; nothing is kept but the numbers of each label's examples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sampler"]


class Sampler:
    """Call it with a step's number for the numbers of its examples; the same step always gives the
    same, so that a run can be resumed at any."""

    def __init__(
        self, targets: Sequence[int] | NDArray[np.int64], *, labels: int, each: int, seed: int
    ) -> None:
        """A batch has `labels` of the labels (all, where there are fewer), each with `each` of its
        examples; a label with fewer gives some of them twice."""
        found = np.asarray(targets, np.int64)
        order = np.argsort(found, kind="stable")
        ends = np.flatnonzero(np.diff(found[order])) + 1
        self._examples = np.split(order, ends)
        self._labels, self._each, self._seed = min(labels, len(self._examples)), each, seed

    @property
    def size(self) -> int:
        """Examples in a batch."""
        return self._labels * self._each

    def __call__(self, step: int) -> list[int]:
        """Labels come in turns: within one turn through all of them each comes once."""
        count = len(self._examples)
        found: list[int] = []
        random = np.random.default_rng([self._seed, step])
        for place in range(step * self._labels, (step + 1) * self._labels):
            turn, at = divmod(place, count)
            label = int(self._order(turn)[at])
            examples = self._examples[label]
            again = len(examples) < self._each
            found += random.choice(examples, self._each, replace=again).tolist()
        return found

    def _order(self, turn: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, 7, turn]).permutation(len(self._examples))
