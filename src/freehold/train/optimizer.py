"""The update rule: AdamW, linear warm-up and linear decay, gradients clipped by their norm."""

from __future__ import annotations

import torch

__all__ = ["adamw", "learning_rate"]


def adamw(module: torch.nn.Module, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) in one fused pass over each tensor; decay for matrices
    only: a bias or a norm's scale has nothing to gain from being small."""
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def learning_rate(step: int, steps: int, *, highest: float, warmup: float) -> float:
    """The rate of step 0 .. steps-1: up in a line over the first `warmup` share, then down to 0."""
    rising = warmup * steps
    if step < rising:
        return highest * min(1.0, (step + 1) / rising)
    return highest * (steps - step) / max(1.0, steps - rising)
