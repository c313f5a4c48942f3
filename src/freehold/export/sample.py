"""The examples a candidate is scored and timed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.errors import DataError
from freehold.tasks.registry import task_of
from freehold.tasks.types import AnyExample, Dataset

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

    def encode(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Inputs ready for the model; each has a `length` in tokens."""
        ...

    def run(self, batch: Sequence[Any]) -> list[NDArray[np.float32]]:
        """Logits of each: (labels,), (words, labels) …"""
        ...

    def rows(self, windows: Sequence[Any]) -> Sequence[NDArray[np.float32]]:
        """Logits of windows of inputs, in one model call."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """Examples of one kind; `scored` says that their labels are there to score against."""

    examples: Sequence[AnyExample]
    scored: bool = False

    @classmethod
    def of(cls, dev: Dataset | None, *, task: str, most: int, seed: int) -> Sample:
        """At most `most` of the dev examples, drawn without replacement, in their order; without a
        dev set stock texts.

        Raises DataError when dev is empty, for another task, or lacks a label.
        """
        if dev is None:
            return cls(_stock(task))
        if dev.task != task:
            raise DataError(f"{dev.path} is for {dev.task}; the model is for {task}.")
        if not len(dev):
            raise DataError(f"{dev.path} holds no example.", hint="Name a file with some.")
        drawn = cls(dev.examples).drawn(most, seed).examples
        for example in drawn:
            if example.target is None:
                raise DataError(
                    f"{dev.path} has no label in line {example.row}.", hint="Name a labelled file."
                )
        return cls(drawn, scored=True)

    def drawn(self, most: int, seed: int) -> Sample:
        """At most `most` of the examples, in their order, not to be scored."""
        count = len(self.examples)
        if count <= most:
            return Sample(self.examples)
        chosen = np.random.default_rng(seed).choice(count, most, replace=False)
        return self.only(sorted(chosen.tolist()))

    def only(self, numbers: Sequence[int]) -> Sample:
        """These examples, not to be scored."""
        return Sample([self.examples[number] for number in numbers])

    def encode(self, runner: Runner) -> Sequence[Any]:
        return runner.encode([example.input for example in self.examples])


def _stock(task: str) -> list[AnyExample]:
    """Stock texts as examples of a task, whose every role is a text then."""
    texts = _STOCK * _STOCK_TIMES
    roles = [role.name for role in task_of(task).asked]
    split = {"tokens"} & set(roles)
    return [
        task_of(task).example(
            row, {role: tuple(text.split()) if role in split else text for role in roles}
        )
        for row, text in enumerate(texts, 1)
    ]
