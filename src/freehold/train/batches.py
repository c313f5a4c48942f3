"""Batches of a token budget: texts of like length together, so that almost nothing is padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["IGNORED", "Ids", "epoch_plan", "pad_ids", "pad_targets", "plan"]

Ids = NDArray[np.int32]
IGNORED = -100  # the target of a position that no loss is taken at
SPREAD = 2.0  # tokens of noise in the lengths that examples are sorted by


def plan(
    lengths: NDArray[np.int64], budget: int, *, random: np.random.Generator | None = None
) -> list[list[int]]:
    """Group example numbers so that longest x count <= budget (a single longer one stands alone).

    With `random`, examples of like length are mixed and the batches come in random order; without,
    they are sorted by length and the same each time.
    """
    keys = lengths if random is None else lengths + random.uniform(0, SPREAD, len(lengths))
    batches: list[list[int]] = []
    current: list[int] = []
    longest = 0
    for number in np.argsort(keys, kind="stable").tolist():
        length = int(lengths[number])
        if current and max(longest, length) * (len(current) + 1) > budget:
            batches.append(current)
            current, longest = [], 0
        current.append(number)
        longest = max(longest, length)
    if current:
        batches.append(current)
    if random is None:
        return batches
    return [batches[number] for number in random.permutation(len(batches))]


def epoch_plan(
    lengths: NDArray[np.int64], budget: int, *, seed: int, epoch: int
) -> list[list[int]]:
    """The batches of one epoch, from the seed and the epoch's number alone, so that a run can be
    resumed in the middle of it."""
    return plan(lengths, budget, random=np.random.default_rng([seed, epoch]))


def pad_ids(
    ids: Sequence[Ids], batch: Sequence[int], pad: int
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(batch, longest) int64 ids and their mask, None where nothing is padded."""
    longest = max(len(ids[number]) for number in batch)
    rows = np.full((len(batch), longest), pad, np.int64)
    mask = np.zeros((len(batch), longest), np.bool_)
    for row, number in enumerate(batch):
        length = len(ids[number])
        rows[row, :length] = ids[number]
        mask[row, :length] = True
    return torch.from_numpy(rows), None if mask.all() else torch.from_numpy(mask)


def pad_targets(targets: Sequence[NDArray[Any]], batch: Sequence[int]) -> torch.Tensor:
    """(batch,) of class numbers or of figures, or (batch, longest) where each position has one."""
    chosen = [targets[number] for number in batch]
    if chosen[0].ndim == 0:
        return torch.from_numpy(np.array(chosen, chosen[0].dtype))
    padded = np.full((len(chosen), max(map(len, chosen))), IGNORED, chosen[0].dtype)
    for row, target in zip(padded, chosen, strict=True):
        row[: len(target)] = target
    return torch.from_numpy(padded)
