"""What the adapters share: tokenising in bulk, the new layer, cross-entropy, the loss of logits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from freehold.train.batches import IGNORED
from freehold.train.tasks.adapter import Logits

__all__ = ["cross_entropy", "hidden_size", "mean_loss", "new_head", "run_encoder", "tokenize"]

AT_ONCE = 4096  # texts whose encodings are held at a time; each is some kilobytes
HEAD_SPREAD = 0.02  # BERT's own initial spread


def tokenize(
    tokenizer: Tokenizer, inputs: Sequence[str] | Sequence[list[str]], max_length: int
) -> Iterator[Encoding]:
    """Encodings in order, special tokens included; a list of words is taken as already split."""
    tokenizer.enable_truncation(max_length)
    try:
        for start in range(0, len(inputs), AT_ONCE):
            some = list(inputs[start : start + AT_ONCE])
            split = not isinstance(some[0], str)
            yield from tokenizer.encode_batch(some, is_pretokenized=split)
    finally:
        tokenizer.no_truncation()


def hidden_size(encoder: torch.nn.Module) -> int:
    return int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type] # of transformers


def run_encoder(
    encoder: torch.nn.Module,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    types: torch.Tensor | None,
) -> torch.Tensor:
    """The last layer's vectors, (batch, tokens, width). Segment numbers only where there are some:
    not every encoder takes them."""
    segments = {} if types is None else {"token_type_ids": types}
    found: torch.Tensor = encoder(input_ids=ids, attention_mask=mask, **segments).last_hidden_state
    return found


def new_head(width: int, labels: int) -> torch.nn.Linear:
    head = torch.nn.Linear(width, labels)
    torch.nn.init.normal_(head.weight, std=HEAD_SPREAD)
    torch.nn.init.zeros_(head.bias)
    return head


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, weight: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """Mean over the targets that are not IGNORED, in float32 whatever the logits are."""
    return torch.nn.functional.cross_entropy(
        logits.float(), targets, weight, ignore_index=IGNORED, label_smoothing=smoothing
    )


def mean_loss(logits: Logits, gold: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of (n, labels) logits; gold of -1 (unknown) is left out."""
    rows, targets = logits[gold >= 0].astype(np.float64), gold[gold >= 0]
    if not len(rows):
        return 0.0
    highest = rows.max(1, keepdims=True)
    norm = np.log(np.exp(rows - highest).sum(1)) + highest[:, 0]
    return float((norm - rows[np.arange(len(rows)), targets]).mean())
