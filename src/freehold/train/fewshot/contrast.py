"""The loss of a batch of labelled texts: those of one label together, the others apart."""

from __future__ import annotations

from typing import Any, cast

import torch

from freehold.train.heads.base import mean_of
from freehold.train.loop import Job
from freehold.train.objective import Batch

__all__ = ["Contrast", "pooled_by_length", "supervised_contrast"]

PART = 16  # texts that are read together


class Contrast:
    """Supervised contrast of the mean vectors of a batch; the head takes no part."""

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        with job.hardware.autocast():
            pooled = pooled_by_length(job.module, batch)
        loss = supervised_contrast(pooled.float(), batch.targets, self._temperature)
        cast(Any, loss).backward()
        return loss.detach()


def pooled_by_length(module: Any, batch: Batch) -> torch.Tensor:
    """The batch's mean vectors (batch, width), read in parts of like length: which texts stand in
    it the labels decide, and padded to its longest most of it would be padding."""
    if batch.mask is None:
        return mean_of(module.hidden(batch.ids, None, batch.types), None)
    lengths = batch.mask.sum(1)
    order = lengths.argsort()
    parts = []
    for rows in torch.split(order, PART):
        longest = int(lengths[rows].max())
        mask = batch.mask[rows, :longest]
        types = None if batch.types is None else batch.types[rows, :longest]
        hidden = module.hidden(batch.ids[rows, :longest], None if mask.all() else mask, types)
        parts.append(mean_of(hidden, mask))
    return torch.cat(parts)[order.argsort()]


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
