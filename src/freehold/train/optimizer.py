"""The update rule: AdamW, linear warm-up and linear decay, gradients clipped by their norm."""

from __future__ import annotations

from collections.abc import Mapping

import torch

__all__ = ["adamw", "decaying", "learning_rate"]


def adamw(
    module: torch.nn.Module,
    rate: float,
    weight_decay: float,
    scales: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) in one fused pass over each tensor; decay for matrices
    only: a bias or a norm's scale has nothing to gain from being small. Frozen parameters are left
    out. `scales` are shares of the rate by the names of parameters; 1 where there is none."""
    groups: dict[tuple[bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            key = parameter.ndim > 1, 1.0 if scales is None else scales.get(name, 1.0)
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": weight_decay * decayed, "scale": scale}
            for (decayed, scale), parameters in groups.items()
        ],
        lr=rate,
        fused=True,
    )


def decaying(depths: Mapping[str, int], share: float) -> dict[str, float]:
    """Scales by the depth of each parameter: 1 for the deepest, each depth below it `share` of the
    one above (Howard and Ruder 2018, "discriminative fine-tuning")."""
    deepest = max(depths.values())
    return {name: share ** (deepest - depth) for name, depth in depths.items()}


def learning_rate(step: float, steps: int, *, highest: float, warmup: float) -> float:
    """The rate of step 0 .. steps-1: up in a line over the first `warmup` share, then down to 0."""
    rising = warmup * steps
    if step < rising:
        return highest * min(1.0, (step + 1) / rising)
    return highest * (steps - step) / max(1.0, steps - rising)
