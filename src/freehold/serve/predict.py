"""Answers to any number of examples, in their order, computed in batches of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.serve.engine import Encoded, Engine
from freehold.tasks.types import AnyExample

__all__ = ["batches", "predict"]

AT_ONCE = 4096  # examples that are encoded, sorted by length and answered together


def predict(
    engine: Engine, examples: Sequence[AnyExample], *, batch_tokens: int = 2048
) -> Iterator[dict[str, Any]]:
    """One dict an example, as the task's answers have it: {"label", "score", "scores": {label:
    score}}, likeliest first; for token-classification {"tokens", "tags", "entities"}, entities with
    character offsets in the text (a TaggedExample's: its words joined by one space each) …"""
    waiting = iter(examples)
    while some := list(islice(waiting, AT_ONCE)):
        encoded = engine.encode([example.input for example in some])
        for text, row in zip(encoded, _logits(engine, encoded, batch_tokens), strict=True):
            yield engine.answer(text, row).document()


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


def _logits(engine: Engine, encoded: Sequence[Encoded], budget: int) -> list[NDArray[np.float32]]:
    found: dict[int, NDArray[np.float32]] = {}
    for batch in batches([text.length for text in encoded], budget):
        rows = engine.run([encoded[number] for number in batch])
        found.update(zip(batch, rows, strict=True))
    return [found[number] for number in range(len(encoded))]
