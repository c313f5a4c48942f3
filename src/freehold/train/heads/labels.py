"""Any number of labels a text: as for one, but each label by a sigmoid of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.heads.label import LabelHead

__all__ = ["HEAD", "LabelsHead"]

MOST = 20.0  # times that a present label weighs more than an absent one, at most


class LabelsHead(LabelHead):
    """-> (batch, labels), targets of 0 and 1 in the same shape."""

    def settle(self, targets: Sequence[NDArray[Any]]) -> None:
        """Start from how frequent each label is; from even odds the first steps would go there."""
        share = np.clip(np.stack(targets).mean(0), 1e-3, 1 - 1e-3)
        with torch.no_grad():
            self.head.bias.copy_(torch.from_numpy(np.log(share / (1 - share)).astype(np.float32)))

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        """Binary cross-entropy, the mean over texts of the sum over labels: as a mean over both a
        label's gradient would fade with the number of the others."""
        wanted = targets * (1 - smoothing) + smoothing / 2
        found = torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), wanted, pos_weight=weight, reduction="none"
        )
        return found.sum(1).mean()

    @staticmethod
    def certainty(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        given = logits.sigmoid()
        return given.where(targets > 0.5, 1 - given).amin(1)

    @staticmethod
    def counted(targets: torch.Tensor, weight: torch.Tensor | None) -> float:
        return len(targets)

    @staticmethod
    def balance(targets: Sequence[NDArray[Any]], labels: int) -> torch.Tensor | None:
        """Absent over present of each label, at most 20."""
        present = np.stack(targets).sum(0)
        odds = (len(targets) - present) / np.maximum(present, 1)
        return torch.from_numpy(np.clip(odds, 1.0, MOST).astype(np.float32))


HEAD = LabelsHead
