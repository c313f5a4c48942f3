"""What one step learns from: the batch, and the objective that turns it into gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

import torch

if TYPE_CHECKING:
    from freehold.train.heads.base import Head
    from freehold.train.loop import Job

__all__ = ["Batch", "Objective", "Plain", "forward", "loss_of"]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch on the device. A method that knows more about its examples looks them up by number.

    `ids` (batch, tokens) int64, `mask` the same in bool, None where nothing is padded; `types` the
    number of the segment of each token (text pairs), None where there is one only; `targets` as the
    task has them.
    """

    numbers: list[int]  # rows of the job's material
    ids: torch.Tensor
    mask: torch.Tensor | None
    types: torch.Tensor | None
    targets: torch.Tensor


class Objective(Protocol):
    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        """Add the gradients of the batch's loss to the parameters; returns the loss, a scalar
        that is detached. Clipping and the update are the loop's."""
        ...


def forward(job: Job, batch: Batch) -> torch.Tensor:
    """The module's logits, in the precision of the job."""
    with job.hardware.autocast():
        logits: torch.Tensor = job.module(batch.ids, batch.mask, batch.types)
    return logits


def loss_of(job: Job, batch: Batch, logits: torch.Tensor) -> torch.Tensor:
    """The task's own loss against the batch's targets, a scalar."""
    targets = batch.targets
    if job.whole is not None:
        logits, targets = job.whole(logits)
    return cast("Head", job.module).loss(
        logits, targets, weight=job.label_weights, smoothing=job.label_smoothing
    )


class Plain:
    """The task's loss on the batch as it is."""

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        loss = loss_of(job, batch, forward(job, batch))
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return loss.detach()
