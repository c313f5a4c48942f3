"""One label a text: mean of the token vectors, dropout, a linear layer, cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from freehold.data.types import Dataset, Example, Task
from freehold.errors import TrainError
from freehold.train.tasks.adapter import Encoded, Logits, Score
from freehold.train.tasks.shared import (
    cross_entropy,
    hidden_size,
    mean_loss,
    new_head,
    run_encoder,
    tokenize,
)

__all__ = ["ADAPTER", "TextClassification", "TextClassifier"]


class TextClassifier(torch.nn.Module):
    """(batch, tokens) ids and mask -> (batch, labels) logits."""

    def __init__(self, encoder: torch.nn.Module, labels: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(dropout)
        self.head = new_head(hidden_size(encoder), labels)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        hidden = run_encoder(self.encoder, input_ids, attention_mask, token_type_ids)
        if attention_mask is None:
            pooled = hidden.mean(1)
        else:
            # The mean, not the first token: sentence encoders such as minilm are trained by it.
            kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
            pooled = (hidden * kept).sum(1) / kept.sum(1)
        logits: torch.Tensor = self.head(self.dropout(pooled))
        return logits


class TextClassification:
    task: Task = "text-classification"
    score_name = "accuracy"

    def labels(self, train: Dataset) -> list[str]:
        labels = train.labels()
        if len(labels) < 2:
            raise TrainError(
                f"{train.path} has {len(labels)} different label{'s' * (len(labels) != 1)}; "
                "a classifier needs at least 2 to tell apart.",
                hint="Add examples of what else may come in.",
            )
        return labels

    def encode(self, tokenizer: Tokenizer, examples: Sequence[Example], max_length: int) -> Encoded:
        texts = [example.text for example in examples]
        return Encoded([np.array(e.ids, np.int32) for e in tokenize(tokenizer, texts, max_length)])

    def targets(
        self, encoded: Encoded, examples: Sequence[Example], labels: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        place = {label: number for number, label in enumerate(labels)}
        return [np.array(place[example.label or ""], np.int64) for example in examples]

    def module(self, encoder: torch.nn.Module, labels: int, dropout: float) -> torch.nn.Module:
        return TextClassifier(encoder, labels, dropout)

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        return cross_entropy(logits, targets, weight=weight, smoothing=smoothing)

    def decode(self, encoded: Encoded, number: int, row: Logits, labels: Sequence[str]) -> Logits:
        return row

    def score(
        self, examples: Sequence[Example], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Accuracy; a label that training never saw counts as answered wrongly."""
        place = {label: number for number, label in enumerate(labels)}
        gold = np.array([place.get(example.label or "", -1) for example in examples])
        rows = np.stack(logits)
        return Score(float((rows.argmax(1) == gold).mean()), mean_loss(rows, gold))


ADAPTER = TextClassification()
