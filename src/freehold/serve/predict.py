"""Answers to any number of examples, in their order, computed in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.data.types import Example, TaggedExample
from freehold.serve.decode import Answer, TextAnswer
from freehold.serve.engine import Encoded, Engine

__all__ = ["batches", "predict"]

AT_ONCE = 4096  # examples that are encoded, sorted by length and answered together


def predict(
    engine: Engine,
    examples: Sequence[Example] | Sequence[TaggedExample],
    *,
    batch_tokens: int = 2048,
) -> Iterator[dict[str, Any]]:
    """One dict an example: {"label", "score", "scores": {label: score}}, likeliest first; for
    token-classification {"tokens", "tags", "entities"}, entities with character offsets in the text
    (a TaggedExample's: its words joined by one space each)."""
    waiting: Iterator[Example | TaggedExample] = iter(examples)
    while some := list(islice(waiting, AT_ONCE)):
        encoded = _encode(engine, some)
        for text, row in zip(encoded, _logits(engine, encoded, batch_tokens), strict=True):
            yield _document(engine.answer(text, row))


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Numbers of texts by length, grouped so that count x longest <= budget (a single longer text
    stands alone)."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[number] > budget:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _encode(engine: Engine, examples: Sequence[Example | TaggedExample]) -> list[Encoded]:
    if isinstance(examples[0], TaggedExample):
        return engine.encode_words([e.tokens for e in examples if isinstance(e, TaggedExample)])
    return engine.encode([e.text for e in examples])


def _logits(engine: Engine, encoded: Sequence[Encoded], budget: int) -> list[NDArray[np.float32]]:
    found: dict[int, NDArray[np.float32]] = {}
    for batch in batches([text.length for text in encoded], budget):
        rows = engine.run([encoded[number] for number in batch])
        found.update(zip(batch, rows, strict=True))
    return [found[number] for number in range(len(encoded))]


def _document(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, TextAnswer):
        return {"label": answer.label, "score": answer.score, "scores": dict(answer.scores)}
    return {
        "tokens": [word.word for word in answer.words],
        "tags": list(answer.tags),
        "entities": answer.document(),
    }
