"""Texts as vectors of a frozen encoder, and a linear layer's probabilities of their labels."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.data.duplicates import normalise
from freehold.errors import DataError
from freehold.tasks.types import Dataset, Example
from freehold.train import hardware
from freehold.train.adapter import adapter_of
from freehold.train.closed import solved
from freehold.train.encoders import EncoderFiles, load_encoder, load_tokenizer, longest_input
from freehold.train.frozen import Scaled, features, logistic

__all__ = ["Judged", "chances", "folds_of", "judged", "vectors"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Examples whose labels can be told apart: `numbers` are their places in the file, `targets`
    index `labels`; `left_out` has the labels that have too few texts, and how many examples."""

    numbers: list[int]
    labels: tuple[str, ...]
    targets: NDArray[np.int64]
    left_out: dict[str, int]


def judged(data: Dataset, *, least: int = 2) -> Judged:
    """The examples of labels with at least `least` different texts.

    Raises DataError for a task without one label a text, an example without a label, and where
    fewer than two labels are left.
    """
    examples = _texts(data)
    texts: dict[str, set[str]] = {}
    for example in examples:
        if example.label is None:
            raise DataError(
                f"{data.path} has no label in line {example.row}.",
                hint="Label it, or give the file with --pool.",
            )
        texts.setdefault(example.label, set()).add(normalise(example.text))
    labels = tuple(sorted(label for label, found in texts.items() if len(found) >= least))
    if len(labels) < 2:
        raise DataError(
            f"{data.path} has {len(labels)} label{'s' * (len(labels) != 1)} with at least {least} "
            "different texts; to judge labels there have to be two.",
            hint="Add examples.",
        )
    place = {label: number for number, label in enumerate(labels)}
    numbers = [n for n, example in enumerate(examples) if example.label in place]
    targets = np.array([place[examples[n].label or ""] for n in numbers], np.int64)
    left_out: dict[str, int] = {}
    for example in examples:
        if example.label not in place:
            left_out[example.label or ""] = left_out.get(example.label or "", 0) + 1
    return Judged(numbers, labels, targets, left_out)


def vectors(
    data: Dataset,
    files: EncoderFiles,
    *,
    max_length: int,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """(texts, width): the mean of the encoder's token vectors over each text."""
    adapter = adapter_of("text-classification")
    rows = adapter.encode(
        load_tokenizer(files.folder), _texts(data), min(max_length, longest_input(files))
    )
    machine = hardware.choose("auto")
    with hardware.settled(threads, 0):
        encoder = load_encoder(files, attention=machine.attention)
        module: Any = adapter.module(encoder, 2, 0.0).to(machine.device).eval()
        pad = int(files.config().get("pad_token_id") or 0)
        return np.stack(features(module, rows.ids, pad, machine, on_progress))


def folds_of(
    texts: Sequence[str], targets: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.int64]:
    """A fold for each text: of every label about as many in each, and texts that are the same
    (case, width and spaces aside) together, so that no text is judged by its own twin."""
    chance = random.Random(f"folds {seed}")  # noqa: S311 - a split, not a secret
    groups: dict[int, dict[str, None]] = {}
    home: dict[str, int] = {}
    keys = [normalise(text) for text in texts]
    for key, target in zip(keys, targets.tolist(), strict=True):
        groups.setdefault(home.setdefault(key, target), {})[key] = None
    fold: dict[str, int] = {}
    for target in sorted(groups):
        names = list(groups[target])
        chance.shuffle(names)
        # A random start, so that small labels do not all stand in the first folds.
        start = chance.randrange(folds)
        fold.update({name: (start + n) % folds for n, name in enumerate(names)})
    return np.array([fold[key] for key in keys], np.int64)


def chances(
    rows: NDArray[np.float32], targets: NDArray[np.int64], labels: int, asked: NDArray[np.float32]
) -> Floats:
    """(asked, labels): probabilities by logistic regression on `rows` and their `targets`. A label
    that no target has gets 0."""
    scaled = Scaled.of(rows)
    if len(np.unique(targets)) < 2:
        raise DataError("A fold is left with one label only.", hint="Add examples of others.")
    weights, biases = solved(logistic(balanced=False), scaled.rows, targets, labels)
    logits = scaled.like(asked) @ weights.T + biases
    powers = np.exp(logits - logits.max(1, keepdims=True))
    found: Floats = powers / powers.sum(1, keepdims=True)
    return found


def _texts(data: Dataset) -> list[Example]:
    if data.task != "text-classification":
        raise DataError(
            f"{data.path} is for {data.task}; a review is of texts with one label each.",
            hint="Look at it with `freehold data check`.",
        )
    return [example for example in data.examples if isinstance(example, Example)]
