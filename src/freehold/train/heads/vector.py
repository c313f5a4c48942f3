"""A vector a text: the mean of the token vectors at length 1, learnt from the order of pairs."""

from __future__ import annotations

import torch

from freehold.train.heads.base import Head, mean_of

__all__ = ["HEAD", "VectorHead", "order_loss"]

SCALE = 20.0  # of cosines in the loss, as in sentence-transformers


class VectorHead(Head):
    """-> (batch, width); two neighbouring rows are a pair, targets (batch / 2,) how alike it is."""

    compares = True

    def answer(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return torch.nn.functional.normalize(mean_of(hidden, mask).float(), dim=-1)

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        first, second = logits.float().view(-1, 2, logits.shape[-1]).unbind(1)
        return order_loss((first * second).sum(1), targets)


def order_loss(cosines: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log(1 + sum of exp(scale (cos_j - cos_i)) over all i, j with target_i > target_j): pairs that
    are more alike should have the higher cosine (CoSENT; Su 2022, kexue.fm/archives/8847)."""
    differences = SCALE * (cosines[None, :] - cosines[:, None])
    ordered = targets[:, None] > targets[None, :]
    wrong = torch.where(ordered, differences, torch.full_like(differences, -1e4))
    zero = torch.zeros(1, dtype=wrong.dtype, device=wrong.device)
    return torch.logsumexp(torch.cat([zero, wrong.flatten()]), 0)


HEAD = VectorHead
