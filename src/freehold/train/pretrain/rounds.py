"""How long a run is, and where on the way it looks at what was kept aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from freehold.train.batches import epoch_plan

__all__ = ["Rounds", "ends_of", "steps_of"]


def steps_of(lengths: NDArray[np.int64], budget: int, epochs: int, *, seed: int) -> int:
    """Steps in so many passes."""
    return sum(len(epoch_plan(lengths, budget, seed=seed, epoch=e)) for e in range(epochs))


def ends_of(steps: int, head_steps: int, looks: int) -> list[int]:
    """After which step each round ends: the first after those of a new head alone, if there are
    any, the others at even distances."""
    rest = steps - head_steps
    marks = [head_steps + round(rest * look / looks) for look in range(1, looks + 1)]
    return sorted({mark for mark in (head_steps, *marks) if mark > 0})


class Rounds:
    """The batches of each round, from one endless row of epochs; for `Job.plan`. From the seed
    alone, so that a run can be resumed in the middle of a round."""

    def __init__(
        self, lengths: NDArray[np.int64], budget: int, ends: Sequence[int], *, seed: int
    ) -> None:
        self._lengths, self._budget, self._seed = lengths, budget, seed
        self._starts, self._ends = [0, *ends[:-1]], list(ends)
        self._counts: dict[int, int] = {}  # batches of each epoch, as far as they were drawn

    def __call__(self, number: int) -> list[list[int]]:
        start, end = self._starts[number], self._ends[number]
        batches: list[list[int]] = []
        epoch = seen = 0
        while seen < end:
            count = self._counts.get(epoch)
            if count is None or seen + count > start:
                drawn = epoch_plan(self._lengths, self._budget, seed=self._seed, epoch=epoch)
                count = self._counts[epoch] = len(drawn)
                batches += drawn[max(0, start - seen) : max(0, end - seen)]
            seen += count
            epoch += 1
        return batches
