"""A part of the text: how likely it starts and ends at each token; the first token for "none"."""

from __future__ import annotations

import torch

from freehold.train.heads.base import least_certain, weighed
from freehold.train.heads.tags import TagsHead

__all__ = ["HEAD", "SpanHead"]

NEVER = -1e4  # the logit of a padded place; -inf would make gradients that are no numbers


class SpanHead(TagsHead):
    """-> (batch, tokens, 2), targets (batch, 2): the first and the last token (Devlin et al. 2019,
    section 4.2)."""

    labelled = False

    def answer(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        logits = super().answer(hidden, mask)
        return logits if mask is None else logits.masked_fill(mask.unsqueeze(-1) == 0, NEVER)

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        """The mean of the cross-entropies of start and end, over the places of the text."""
        return torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2).flatten(0, 1),
            targets.flatten(),
            label_smoothing=0.0,  # would ask for some chance at padded places
        )

    @staticmethod
    def certainty(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return least_certain(logits.transpose(1, 2), targets)

    @staticmethod
    def counted(targets: torch.Tensor, weight: torch.Tensor | None) -> float:
        return weighed(targets, None)  # starts and ends


HEAD = SpanHead
