"""What this machine can do at most, and what a model asks of it: for benches that state a share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

SHAPES = ((1024, 1024, 1024), (1024, 384, 1536), (2048, 2048, 2048))  # rows, inner, columns


def peak_gflops(dtype: torch.dtype, seconds: float = 1.0) -> float:
    """GFLOP/s of the best of some matrix products in `dtype`, by torch and its threads."""
    return max(_product(shape, dtype, seconds / len(SHAPES)) for shape in SHAPES)


def _product(shape: tuple[int, int, int], dtype: torch.dtype, seconds: float) -> float:
    rows, inner, columns = shape
    a, b = torch.randn(rows, inner).to(dtype), torch.randn(inner, columns).to(dtype)
    for _ in range(3):  # the first call packs and plans
        torch.mm(a, b)
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < seconds:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * rows * inner * columns / best / 1e9


def training_flops(config: Any, lengths: Sequence[int]) -> float:
    """Floating-point operations of forward and backward over texts of so many tokens each.

    Two for each multiply-add; backward is twice forward. A layer multiplies each token by the
    query, key, value and output matrices and the two of its feed-forward part, and each pair of
    tokens twice (scores, mixture). Padding, embeddings, norms and heads are left out: what is
    counted is useful whatever the program.
    """
    width, inner = config.hidden_size, config.intermediate_size
    matrices = 2 * (4 * width * width + 2 * width * inner)
    forward = sum(length * matrices + 4 * length * length * width for length in lengths)
    return 3.0 * config.num_hidden_layers * forward
