"""What a task has to say for the loop to train it: encode, head, loss, decode, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.data.types import Dataset, Task
from freehold.train.batches import Ids

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ["Encoded", "Logits", "Score", "TaskAdapter"]

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of each example; `places` says for each of its words which token speaks for it
    (-1: none, the word was cut off or has no token), where the task is about words."""

    ids: list[Ids]
    places: list[NDArray[np.int64]] | None = None

    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids], np.int64)


@dataclass(frozen=True, slots=True)
class Score:
    """How well logits answer a labelled set: `value` in 0..1, and the mean loss to break ties."""

    value: float
    loss: float


class TaskAdapter(Protocol):
    task: Task
    score_name: str

    def labels(self, train: Dataset) -> list[str]:
        """The labels in the order of the logits. TrainError where there is nothing to learn."""
        ...

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Any], max_length: int) -> Encoded:
        """Token ids with the special tokens, at most max_length of them."""
        ...

    def targets(
        self, encoded: Encoded, examples: Sequence[Any], labels: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        """What each example's logits should say: shape () or (tokens,), IGNORED where nothing."""
        ...

    def module(self, encoder: torch.nn.Module, labels: int, dropout: float) -> torch.nn.Module:
        """Encoder and head: forward(input_ids, attention_mask or None) -> logits."""
        ...

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        """The mean over the batch, a scalar."""
        ...

    def decode(self, encoded: Encoded, number: int, row: Logits, labels: Sequence[str]) -> Logits:
        """The example's own logits from its row of the batch: (labels,) or (words, labels)."""
        ...

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Of decoded logits, one array an example."""
        ...
