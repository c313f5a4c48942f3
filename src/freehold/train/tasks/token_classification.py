"""One tag a word: its first token's vector, dropout, a linear layer, cross-entropy; entity F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from freehold.data.types import Dataset, TaggedExample, Task
from freehold.errors import TrainError
from freehold.train.batches import IGNORED
from freehold.train.tasks.adapter import Encoded, Logits, Score
from freehold.train.tasks.shared import (
    cross_entropy,
    hidden_size,
    mean_loss,
    new_head,
    run_encoder,
    tokenize,
)

__all__ = ["ADAPTER", "TokenClassification", "TokenClassifier", "entities"]

OUTSIDE = "O"
BARE_SPACE = "▁"  # SentencePiece's mark of a space, a token of its own before some words
CERTAIN = 1000.0  # the logit of "O", above zeros, for a word the encoder did not see


class TokenClassifier(torch.nn.Module):
    """(batch, tokens) ids and mask -> (batch, tokens, labels) logits."""

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
        logits: torch.Tensor = self.head(self.dropout(hidden))
        return logits


class TokenClassification:
    task: Task = "token-classification"
    score_name = "entity_f1"

    def labels(self, train: Dataset) -> list[str]:
        tags = [tag for tag in train.labels() if tag != OUTSIDE]
        if not tags:
            raise TrainError(
                f"{train.path} has no tag but {OUTSIDE}; there is nothing to learn from it.",
                hint="Tag at least some words with B-NAME and I-NAME.",
            )
        return [OUTSIDE, *tags]

    def encode(
        self, tokenizer: Tokenizer, examples: Sequence[TaggedExample], max_length: int
    ) -> Encoded:
        ids, places = [], []
        sentences = [list(example.tokens) for example in examples]
        encodings = tokenize(tokenizer, sentences, max_length)
        for sentence, encoding in zip(sentences, encodings, strict=True):
            ids.append(np.array(encoding.ids, np.int32))
            places.append(_places(encoding, len(sentence)))
        return Encoded(ids, places)

    def targets(
        self, encoded: Encoded, examples: Sequence[TaggedExample], labels: Sequence[str]
    ) -> list[NDArray[np.int64]]:
        place = {label: number for number, label in enumerate(labels)}
        targets = []
        assert encoded.places is not None
        for ids, places, example in zip(encoded.ids, encoded.places, examples, strict=True):
            tags = np.array([place[tag] for tag in example.tags or ()], np.int64)
            target = np.full(len(ids), IGNORED, np.int64)
            target[places[places >= 0]] = tags[places >= 0]
            targets.append(target)
        return targets

    def module(self, encoder: torch.nn.Module, labels: int, dropout: float) -> torch.nn.Module:
        return TokenClassifier(encoder, labels, dropout)

    def loss(
        self,
        logits: torch.Tensor,
        targets: torch.Tensor,
        *,
        weight: torch.Tensor | None,
        smoothing: float,
    ) -> torch.Tensor:
        return cross_entropy(
            logits.flatten(0, 1), targets.flatten(), weight=weight, smoothing=smoothing
        )

    def decode(self, encoded: Encoded, number: int, row: Logits, labels: Sequence[str]) -> Logits:
        """One row a word; a word without a token of its own is certainly "O"."""
        assert encoded.places is not None
        places = encoded.places[number]
        words = row[places]
        unseen = np.zeros(len(labels), np.float32)
        unseen[labels.index(OUTSIDE)] = CERTAIN
        words[places < 0] = unseen
        return words

    def score(
        self, examples: Sequence[TaggedExample], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Micro F1 of whole entities, as conlleval and seqeval's default mode count them."""
        place = {label: number for number, label in enumerate(labels)}
        found = expected = right = 0
        for example, rows in zip(examples, logits, strict=True):
            gold = entities(example.tags or ())
            predicted = entities([labels[number] for number in rows.argmax(1)])
            expected += len(gold)
            found += len(predicted)
            right += len(gold & predicted)
        targets = [place.get(tag, -1) for example in examples for tag in example.tags or ()]
        loss = mean_loss(np.concatenate(logits), np.array(targets))
        return Score(2 * right / (found + expected) if found + expected else 0.0, loss)


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, first word, word after the last) of each entity in BIO tags.

    As conlleval has it (Tjong Kim Sang and De Meulder 2003): I-X goes on with an X before it, and
    begins an entity where there is none.
    """
    found = set()
    start, kind = 0, ""
    for number, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, name = tag.partition("-")
        goes_on = prefix == "I" and name == kind and kind != ""
        if kind and not goes_on:
            found.add((kind, start, number))
            kind = ""
        if prefix in ("B", "I") and not goes_on:
            start, kind = number, name
    return found


def _places(encoding: Encoding, words: int) -> NDArray[np.int64]:
    """For each word its first token that is more than a bare space mark; -1 where there is none."""
    places = np.full(words, -1, np.int64)
    for position, (word, token) in enumerate(zip(encoding.word_ids, encoding.tokens, strict=True)):
        if word is not None and places[word] < 0 and token != BARE_SPACE:
            places[word] = position
    return places


ADAPTER = TokenClassification()
