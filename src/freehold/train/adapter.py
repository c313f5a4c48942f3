"""A task for the training loop: what it says of texts, with the head that learns it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import InputError, TrainError
from freehold.tasks.base import Logits, Score, Task
from freehold.tasks.registry import task_of
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import Dataset
from freehold.train.batches import Ids

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from freehold.train.heads.base import Head

__all__ = ["Adapter", "Logits", "Rows", "Score", "adapter_of"]


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded examples as the rows that a module is given: one a window. `first` (examples + 1,)
    says where the rows of each example begin; `types` are segment numbers, None where all are 0."""

    encoded: Sequence[Encoded]
    ids: list[Ids]
    types: list[Ids] | None
    first: NDArray[np.int64]

    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids], np.int64)

    def of(self, number: int) -> range:
        """The rows of an example."""
        return range(int(self.first[number]), int(self.first[number + 1]))

    def renumbered(self, way: Callable[[Ids], Ids]) -> Rows:
        """With other token numbers."""
        return Rows(self.encoded, [way(ids) for ids in self.ids], self.types, self.first)


@dataclass(frozen=True, slots=True)
class Adapter:
    """A task and its head."""

    task: Task
    head: type[Head]

    @property
    def score_name(self) -> str:
        return self.task.score_name

    def labels(self, train: Dataset) -> list[str]:
        """The labels in the order of the logits. TrainError where there is nothing to learn."""
        return self.task.labels(train)

    def encode(
        self,
        tokenizer: Tokenizer,
        examples: Sequence[Any],
        max_length: int,
        *,
        casing: bool = False,
        lines: bool = False,
    ) -> Rows:
        """Token ids with the special tokens, at most max_length of them in a row; with `casing` the
        shapes of words as segment numbers, with `lines` a token where a line ends."""
        tokeniser = Tokeniser(
            tokenizer,
            max_length,
            windows=self.task.windows,
            question=self.task.windows and self.task.pairs,
            casing=casing,
            lines=lines,
        )
        encoded = self.task.encode(tokeniser, [example.input for example in examples])
        windows = [window for one in encoded for window in one.windows]
        types = [
            np.zeros(len(window.ids), np.int32) if window.types is None else window.types
            for window in windows
        ]
        counts = [len(one.windows) for one in encoded]
        return Rows(
            encoded=encoded,
            ids=[window.ids for window in windows],
            types=types if any(some.any() for some in types) else None,
            first=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
        )

    def targets(
        self, rows: Rows, examples: Sequence[Any], labels: Sequence[str]
    ) -> list[NDArray[Any]]:
        """What each row's logits should say; of a task with parts, what the rows of each example
        should say together."""
        return list(self._targets(rows, examples, labels))

    def _targets(
        self, rows: Rows, examples: Sequence[Any], labels: Sequence[str]
    ) -> Iterator[NDArray[Any]]:
        for encoded, example in zip(rows.encoded, examples, strict=True):
            yield from self.task.targets(encoded, example, labels)

    def module(self, encoder: Any, labels: int, dropout: float) -> Head:
        """Encoder and head: forward(ids, mask, types) -> logits."""
        return self.head(encoder, labels, dropout)

    def join(
        self, rows: Rows, number: int, logits: Sequence[Logits], labels: Sequence[str]
    ) -> Logits:
        """An example's own logits from those of its rows: (labels,), or (words, labels) …"""
        return self.task.join(rows.encoded[number], logits, labels)

    def score(
        self, examples: Sequence[Any], logits: Sequence[Logits], labels: Sequence[str]
    ) -> Score:
        """Of joined logits, one array an example."""
        return self.task.score(examples, logits, labels)


def adapter_of(kind: str) -> Adapter:
    """Raises TrainError for a task that there is not."""
    from freehold.train.heads.base import head_of

    try:
        task = task_of(kind)
    except InputError as error:
        raise TrainError(error.message, hint=error.hint) from None
    return Adapter(task, head_of(task.head))
