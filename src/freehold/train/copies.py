"""Learning from the hardest of some changed copies of each text: the ascent, in words.

Moved word vectors know nothing of spelling, and a copy drawn at random is mostly an easy one. So
some copies of each text are tried and the one with the highest loss is learnt from, beside the
text itself: the worst of k of Engstrom et al. 2019 ("Exploring the Landscape of Spatial
Robustness"), with the moves of attacks in place of turns and shifts of images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from freehold.errors import TrainError
from freehold.train.augment import copied
from freehold.train.objective import Batch, forward, loss_of

if TYPE_CHECKING:
    from freehold.train.adapter import Adapter, Rows
    from freehold.train.heads.base import Head
    from freehold.train.loop import Job, Material

__all__ = ["HEADS", "WorstCopies", "copies_of"]

HEADS = ("label", "labels", "number")  # whose loss can be taken of one text alone
POOL = 2  # copies of each text, as a multiple of those that are tried in a step


def copies_of(
    examples: Sequence[Any],
    adapter: Adapter,
    tried: int,
    seed: int,
    encode: Callable[[Sequence[Any]], Rows],
) -> list[tuple[Rows, Sequence[Any]]]:
    """A pool of copies of the whole training set, each encoded, with its examples.

    Raises TrainError for a task whose texts cannot be copied or judged one by one.
    """
    if adapter.task.head not in HEADS:
        raise TrainError(
            f"Copies are chosen by the loss of a whole text, and {adapter.task.kind} has none.",
            hint="Take --adversarial fgm, pgd or freelb, or --augment.",
        )
    pool = [copied(examples, seed, turn) for turn in range(POOL * tried)]
    return [(encode(changed), changed) for changed in pool]


@dataclass(frozen=True, slots=True)
class WorstCopies:
    """The loss of the batch and that of each text's hardest copy of `tried`, drawn anew from the
    pool for each step, weighted 1 to `weight`: `tried` forward passes and 2 whole ones."""

    pool: tuple[Material, ...]
    tried: int
    weight: float

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        plain = loss_of(job, batch, forward(job, batch)) / (1 + self.weight)
        plain.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        worst = self._worst(job, batch)
        hard = loss_of(job, worst, forward(job, worst)) * (self.weight / (1 + self.weight))
        hard.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return (plain + hard).detach()

    def _worst(self, job: Job, batch: Batch) -> Batch:
        from freehold.train.loop import Material

        drawn = torch.randperm(len(self.pool))[: self.tried].tolist()
        with torch.no_grad():
            losses = torch.stack([self._losses(job, self.pool[slot], batch) for slot in drawn])
        chosen = [
            (self.pool[drawn[place]], number)
            for place, number in zip(losses.argmax(0).tolist(), batch.numbers, strict=True)
        ]
        worst = Material(
            ids=[copy.ids[number] for copy, number in chosen],
            targets=[copy.targets[number] for copy, number in chosen],
            pad=job.material.pad,
            types=None
            if job.material.types is None
            else [cast(Any, copy.types)[number] for copy, number in chosen],
        )
        return worst.batch(list(range(len(chosen))), job.hardware.device)

    def _losses(self, job: Job, copy: Material, batch: Batch) -> torch.Tensor:
        """(batch,) losses of one copy of each text."""
        tried = copy.batch(batch.numbers, job.hardware.device)
        logits = forward(job, tried)
        head = cast("Head", job.module)
        each = [
            head.loss(logits[row : row + 1], tried.targets[row : row + 1], weight=None, smoothing=0)
            for row in range(len(batch.numbers))
        ]
        return torch.stack(each)
