"""A number a text: as for one label, in the units of the training data, squared error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.heads.label import LabelHead

__all__ = ["HEAD", "NumberHead"]


class NumberHead(LabelHead):
    """-> (batch, 1). The layer learns how far from the mean of the training data a text is, in
    their standard deviations; both are kept beside the weights, so that logits have its units."""

    labelled = False
    certain = False

    def __init__(self, encoder: torch.nn.Module, labels: int, dropout: float) -> None:
        super().__init__(encoder, labels, dropout)
        self.register_buffer("centre", torch.zeros(1))
        self.register_buffer("spread", torch.ones(1))

    def settle(self, targets: Sequence[NDArray[Any]]) -> None:
        values = np.array([float(target) for target in targets])
        cast(torch.Tensor, self.centre).fill_(float(values.mean()))
        cast(torch.Tensor, self.spread).fill_(max(float(values.std()), 1e-6))

    def answer(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        found = super().answer(hidden, mask).float()
        return found * cast(torch.Tensor, self.spread) + cast(torch.Tensor, self.centre)

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        """Mean squared error, in variances of the training data."""
        error = (logits[:, 0].float() - targets) / cast(torch.Tensor, self.spread)
        return (error**2).mean()

    @staticmethod
    def counted(targets: torch.Tensor, weight: torch.Tensor | None) -> float:
        return len(targets)


HEAD = NumberHead
