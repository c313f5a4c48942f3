"""One tag a word: its first token's vector, dropout, a linear layer, cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from freehold.train.heads.base import (
    Head,
    balanced,
    cross_entropy,
    hidden_size,
    least_certain,
    new_layer,
    weighed,
)

__all__ = ["HEAD", "TagsHead"]


class TagsHead(Head):
    """-> (batch, tokens, labels)."""

    labelled = True
    certain = True

    def __init__(self, encoder: torch.nn.Module, labels: int, dropout: float) -> None:
        super().__init__(encoder, labels, dropout)
        self.head = new_layer(hidden_size(encoder), labels)

    def answer(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(hidden))
        return logits

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        return cross_entropy(
            logits.flatten(0, 1), targets.flatten(), weight=weight, smoothing=smoothing
        )

    @staticmethod
    def certainty(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return least_certain(logits, targets)

    @staticmethod
    def counted(targets: torch.Tensor, weight: torch.Tensor | None) -> float:
        return weighed(targets, weight)

    @staticmethod
    def balance(targets: Sequence[NDArray[Any]], labels: int) -> torch.Tensor | None:
        return balanced(targets, labels)


HEAD = TagsHead
