"""What every head is: an encoder below, logits above, and the loss that trains both."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import IGNORED

__all__ = [
    "Head",
    "balanced",
    "cross_entropy",
    "head_of",
    "hidden_size",
    "least_certain",
    "mean_of",
    "new_layer",
    "weighed",
]

SPREAD = 0.02  # BERT's own initial spread


class Head(torch.nn.Module):
    """forward(ids, mask, types) -> logits, a row a text (batch, …). `labelled`: the loss is about
    labels, so that they can be weighted and smoothed."""

    labelled: ClassVar[bool] = False

    # Whether `certainty` says how sure the right answer of each text is.
    certain: ClassVar[bool] = False

    # Whether the loss compares the examples of a batch with each other, so that it is no mean.
    compares = False

    def __init__(self, encoder: torch.nn.Module, labels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(dropout)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self.answer(self.hidden(input_ids, attention_mask, token_type_ids), attention_mask)

    @abstractmethod
    def answer(self, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Logits from the encoder's vectors (batch, tokens, width)."""

    @abstractmethod
    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        """The mean over the batch, a scalar in float32."""

    @staticmethod
    def certainty(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """(batch,): the probability of what is right in each text, of its least certain part; of a
        head that is `certain`."""
        raise NotImplementedError("a head that is certain says how much it is")

    @staticmethod
    def counted(targets: torch.Tensor, weight: torch.Tensor | None) -> float:
        """What the mean of `loss` divides by, here the number of texts: the mean of two batches
        together is their means weighted by it."""
        return len(targets)

    @staticmethod
    def balance(targets: Sequence[NDArray[Any]], labels: int) -> torch.Tensor | None:
        """The `weight` of class_weights = "balanced", of a head that is `labelled`."""
        raise NotImplementedError("a head that is labelled says how its labels are balanced")

    def settle(self, targets: Sequence[NDArray[Any]]) -> None:
        """Take from the training targets what the last layer should start from."""

    def hidden(
        self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor | None
    ) -> torch.Tensor:
        """The encoder's last vectors, (batch, tokens, width). Segment numbers only where there are
        some: not every encoder takes them."""
        segments = {} if types is None else {"token_type_ids": types}
        found: torch.Tensor = self.encoder(
            input_ids=ids, attention_mask=mask, **segments
        ).last_hidden_state
        return found


def head_of(name: str) -> type[Head]:
    """The head in the file of that name."""
    found: type[Head] = importlib.import_module(f"freehold.train.heads.{name}").HEAD
    return found


def hidden_size(encoder: torch.nn.Module) -> int:
    return int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type] # of transformers


def new_layer(width: int, labels: int) -> torch.nn.Linear:
    layer = torch.nn.Linear(width, labels)
    torch.nn.init.normal_(layer.weight, std=SPREAD)
    torch.nn.init.zeros_(layer.bias)
    return layer


def mean_of(hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(batch, width): the mean over the tokens that are not padding. The mean, not the first token:
    sentence encoders such as minilm are trained by it."""
    if mask is None:
        return hidden.mean(1)
    kept = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * kept).sum(1) / kept.sum(1)


def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, weight: torch.Tensor | None, smoothing: float
) -> torch.Tensor:
    """Mean over the targets that are not IGNORED, in float32 whatever the logits are."""
    return torch.nn.functional.cross_entropy(
        logits.float(), targets, weight, ignore_index=IGNORED, label_smoothing=smoothing
    )


def least_certain(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """(batch,): of (batch, places, labels) and (batch, places) the lowest probability of a right
    label, over the places that are not IGNORED; 1 where all are."""
    kept = targets != IGNORED
    right = logits.softmax(-1).gather(-1, targets.where(kept, 0).unsqueeze(-1)).squeeze(-1)
    return right.where(kept, 1.0).amin(1)


def weighed(targets: torch.Tensor, weight: torch.Tensor | None) -> float:
    """What the mean of `cross_entropy` divides by: how many targets are not IGNORED, or the sum of
    their labels' weights."""
    kept = targets[targets != IGNORED]
    return len(kept) if weight is None else float(weight[kept].sum())


def balanced(targets: Sequence[NDArray[np.int64]], labels: int) -> torch.Tensor:
    """Weights n / (labels x count), as scikit-learn's "balanced": each label counts alike."""
    found = np.concatenate([target.reshape(-1) for target in targets])
    counts = np.bincount(found[found >= 0], minlength=labels)
    weights = counts.sum() / (labels * np.maximum(counts, 1))
    return torch.from_numpy(weights.astype(np.float32))
