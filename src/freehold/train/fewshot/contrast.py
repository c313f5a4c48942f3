"""The loss of a batch of labelled texts: those of one label together, the others apart."""

from __future__ import annotations

from typing import Any, cast

import torch

from freehold.train.heads.base import mean_of
from freehold.train.loop import Job
from freehold.train.objective import Batch, loss_of

__all__ = ["Contrast", "supervised_contrast"]


class Contrast:
    """Supervised contrast of the pooled vectors, and beside it the task's own loss."""

    def __init__(self, temperature: float, own: float = 0.0) -> None:
        """`own` is the weight of the task's own loss."""
        self._temperature, self._own = temperature, own

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        module: Any = job.module
        with job.hardware.autocast():
            pooled = mean_of(module.hidden(batch.ids, batch.mask, batch.types), batch.mask)
            logits = module.head(module.dropout(pooled)) if self._own else None
        loss = supervised_contrast(pooled.float(), batch.targets, self._temperature)
        if logits is not None:
            loss = loss + self._own * loss_of(job, batch, logits)
        cast(Any, loss).backward()
        return loss.detach()


def supervised_contrast(
    vectors: torch.Tensor, labels: torch.Tensor, temperature: float
) -> torch.Tensor:
    """The mean over texts of -log of the share that those of its label have in the similarity to
    all others (Khosla et al. 2020, "Supervised Contrastive Learning", equation 2, L_out).

    `vectors` (n, width) are brought to length 1; `labels` (n,). A text whose label no other has
    takes no part.
    """
    unit = torch.nn.functional.normalize(vectors, dim=-1)
    similar = unit @ unit.T / temperature
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    similar = similar.masked_fill(itself, -1e4)
    same = (labels[:, None] == labels[None, :]) & ~itself
    share = similar - similar.logsumexp(1, keepdim=True)
    count = same.sum(1)
    each = -(share * same).sum(1) / count.clamp(min=1)
    taking_part = count > 0
    return (each * taking_part).sum() / taking_part.sum().clamp(min=1)
