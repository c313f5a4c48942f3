"""The examples a candidate is scored and timed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from freehold.data.types import Dataset, Example, TaggedExample
from freehold.errors import DataError

__all__ = ["Runner", "Sample"]

# Without dev texts: something to time, of the lengths that customers write.
_STOCK = (
    "Where is my order?",
    "I was charged twice for the same ride yesterday, please look into it.",
    "hello",
    "The app says that the lock is closed, but the bicycle is still unlocked in front of my house.",
    "Can I change the e-mail address of my account?",
    "Do you have a price list for companies with more than fifty employees, and how is VAT shown?",
    "It does not work.",
    "Last Tuesday I returned the bicycle at the main station at about six in the evening; this "
    "morning I got a bill for four days of use, and nobody answers at the number on your page.",
)
_STOCK_TIMES = 8


class Runner(Protocol):
    """A bundle that is open; `freehold.serve.engine.Engine` is one."""

    def encode(self, texts: Sequence[str]) -> Sequence[Any]:
        """Texts ready for the model; each has a `length` in tokens."""
        ...

    def encode_words(self, sentences: Sequence[Sequence[str]]) -> Sequence[Any]:
        """The same for texts that are split into words already."""
        ...

    def run(self, batch: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Logits of each: (labels,) or (words, labels)."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """Examples of one kind. `gold` has one tuple of labels for each, of length 1 for a text, and is
    empty where there is nothing to score against."""

    examples: Sequence[Example] | Sequence[TaggedExample]
    gold: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, dev: Dataset | None, *, task: str, most: int, seed: int) -> Sample:
        """At most `most` of the dev examples, drawn without replacement, in their order; without a
        dev set stock texts.

        Raises DataError when dev is empty, for another task, or lacks a label.
        """
        if dev is None:
            return cls([Example(row, text) for row, text in enumerate(_STOCK * _STOCK_TIMES, 1)])
        if dev.task != task:
            raise DataError(f"{dev.path} is for {dev.task}; the model is for {task}.")
        if not len(dev):
            raise DataError(f"{dev.path} holds no example.", hint="Name a file with some.")
        drawn = cls(dev.examples).drawn(most, seed)
        return cls(drawn.examples, tuple(_gold(dev, example) for example in drawn.examples))

    @property
    def tagging(self) -> bool:
        return isinstance(self.examples[0], TaggedExample)

    def drawn(self, most: int, seed: int) -> Sample:
        """At most `most` of the examples, in their order, without gold."""
        count = len(self.examples)
        if count <= most:
            return Sample(self.examples)
        chosen = np.random.default_rng(seed).choice(count, most, replace=False)
        return self.only(sorted(chosen.tolist()))

    def only(self, numbers: Sequence[int]) -> Sample:
        """These examples, without gold."""
        chosen = [self.examples[number] for number in numbers]
        return Sample(cast("Sequence[Example] | Sequence[TaggedExample]", chosen))

    def encode(self, runner: Runner) -> Sequence[Any]:
        if self.tagging:
            words = [e.tokens for e in self.examples if isinstance(e, TaggedExample)]
            return runner.encode_words(words)
        return runner.encode([example.text for example in self.examples])


def _gold(dev: Dataset, example: Example | TaggedExample) -> tuple[str, ...]:
    labels = example.tags if isinstance(example, TaggedExample) else (example.label,)
    if labels is None or None in labels:
        raise DataError(
            f"{dev.path} has no label in line {example.row}.", hint="Name a labelled file."
        )
    return tuple(label for label in labels if label is not None)
