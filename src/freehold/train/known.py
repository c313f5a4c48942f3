"""Leaving out what is known: examples that are answered right and with certainty come seldom.

After a pass or two most examples teach next to nothing, but cost as much as the others. So a share
of those that the model knew when it last saw them is left out of each later epoch, drawn anew each
time, so that what is forgotten is noticed. That follows Qin et al. 2024 ("InfoBatch: Lossless
Training Speed Up by Unbiased Dynamic Data Pruning"), with two differences: what is left out is told
by how sure the right answer is, not by a loss below the mean, which would leave out half of a hard
set too; and losses are not scaled up, as AdamW and clipping take the scale out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import epoch_plan
from freehold.train.objective import Batch, forward, loss_of

if TYPE_CHECKING:
    from freehold.train.heads.base import Head
    from freehold.train.loop import Job

__all__ = ["SURE", "Heeding", "Known"]

# The probability of the right answer from which on an example is known, as a share of what the loss
# asks for at least: with labels smoothed by 0.1 that is 0.9.
SURE = 0.95
STREAM = 7  # of the seed's random numbers


class Known:
    """Which rows of the material are known, and what an epoch is made of.

    `begun` (rows,) is how it stood when the epoch under way began, which makes its batches; `noted`
    how it stands now.
    """

    def __init__(self, lengths: NDArray[np.int64], budget: int, seed: int, share: float) -> None:
        """`share` of the known rows is left out of each epoch after the first."""
        self._lengths, self._budget, self._seed, self._share = lengths, budget, seed, share
        self.begun = np.zeros(len(lengths), np.bool_)
        self.noted = np.zeros(len(lengths), np.bool_)
        self._fresh = np.zeros(len(lengths), np.bool_)
        # Of a team each process notes its own rows; this adds a tensor up over all of them.
        self.add_up: Callable[[torch.Tensor], None] | None = None

    def plan(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch, from the seed, its number and what was known when it began; of a
        later one what they would be by now."""
        drawn = np.random.default_rng([self._seed, epoch, STREAM]).random(len(self.begun))
        rows = np.flatnonzero(~self.begun | (drawn >= self._share))
        if not len(rows):  # all of a small set is known: an epoch has to have something
            rows = np.arange(len(self.begun))
        batches = epoch_plan(self._lengths[rows], self._budget, seed=self._seed, epoch=epoch)
        return [rows[batch].tolist() for batch in batches]

    def note(self, numbers: list[int], sure: NDArray[np.bool_]) -> None:
        """What the model knew of these rows before it learnt from them."""
        self.noted[numbers] = sure
        self._fresh[numbers] = True

    def agree(self) -> None:
        """Of a team each process hears what the others noted."""
        if self.add_up is not None:
            told = torch.from_numpy(np.stack([self.noted & self._fresh, self._fresh]))
            sums = told.to(torch.float32)
            self.add_up(sums)
            known, seen = sums.numpy()
            self.noted = np.where(seen > 0, known == seen, self.noted)
        self._fresh[:] = False

    def end_epoch(self) -> None:
        """What was noted counts from the next epoch on."""
        self.agree()
        self.begun = self.noted.copy()

    def tensors(self) -> dict[str, torch.Tensor]:
        """What going on with a stopped run takes."""
        return {"begun": torch.from_numpy(self.begun), "noted": torch.from_numpy(self.noted)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.begun, self.noted = (tensors[name].numpy().copy() for name in ("begun", "noted"))


class Heeding:
    """The task's loss on the batch as it is; what the model knew of it is noted."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        logits = forward(job, batch)
        loss = loss_of(job, batch, logits)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        with torch.no_grad():
            sure = cast("Head", job.module).certainty(logits.detach().float(), batch.targets)
        known = sure >= SURE * (1 - job.label_smoothing)
        self._known.note(batch.numbers, known.cpu().numpy())
        return loss.detach()
