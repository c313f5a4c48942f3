"""Whether a checkpoint can tell documents of one row apart, found out by trying it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from freehold.train.batches import Ids
from freehold.train.pretrain.packing import Documents, attention_of, pack

__all__ = ["Reader", "first_place"]

# ids, mask and positions as `attention_of` gives them -> what the model says of each token
Reader = Callable[[torch.Tensor, torch.Tensor | None, torch.Tensor | None], torch.Tensor]
SHORT = 12  # tokens of each document that are tried
CLOSE = 1e-3  # of the largest number; float32 leaves 1e-6, a leak or a wrong position 1e-1


def first_place(
    read: Reader, model: torch.nn.Module, documents: Sequence[Ids], *, pad: int, causal: bool
) -> int | None:
    """The position that the model's first token has, if two documents in one row come out as they
    do alone; None if not: its attention takes no mask by pairs of tokens, or its positions cannot
    be set. RoBERTa and its kin count from behind the number of their padding."""
    short = [ids[:SHORT] for ids in documents[:2]]
    tried = Documents(short, [np.zeros(len(ids), np.int32) for ids in short])
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            longest_first = sorted(short, key=len, reverse=True)
            expected = torch.cat([read(_row(ids), None, None)[0] for ids in longest_first])
            for first in (0, pad + 1):
                rows = pack(tried, 2 * SHORT, first=first)
                mask, places = attention_of(rows, [0], None, causal=causal)
                try:
                    packed = read(_row(rows.ids[0]), mask, places)[0]
                except (TypeError, ValueError, RuntimeError, IndexError):
                    continue  # it takes no such mask, or no positions
                if (packed - expected).abs().max() <= CLOSE * expected.abs().max():
                    return first
    finally:
        model.train(training)
    return None


def _row(ids: Ids) -> torch.Tensor:
    return torch.from_numpy(ids)[None].long()
