"""The part of the word-embedding table that the data uses, so that only it is trained and kept.

Rows of tokens that never occur get no gradient, and Adam moves nothing without one, so the result
is the same; but most of a small encoder's parameters are such rows (of 30,522, English bank
requests use 2,300), and a step would read and write each of them seven times.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import Ids

__all__ = ["Vocabulary", "embedding_name", "shrink"]


class Vocabulary:
    """Which rows of the whole table the encoder holds at present, and the whole table as it was."""

    def __init__(self, used: NDArray[np.int64], table: torch.Tensor) -> None:
        self.used = used  # numbers of the rows that are held, in their order
        self._used = torch.from_numpy(used)
        self._table = table
        self._row = np.full(len(table), -1, np.int32)
        self._row[used] = np.arange(len(used), dtype=np.int32)

    def renumber(self, ids: Ids) -> Ids:
        """Token ids of the tokenizer -> rows of the shrunk table."""
        return self._row[ids]

    def rows(self, ids: Iterable[int]) -> list[int]:
        """Rows of those of these token ids that the shrunk table has."""
        return [row for number in ids if (row := int(self._row[number])) >= 0]

    def whole(self, trained: torch.Tensor) -> torch.Tensor:
        """The whole table with the trained rows in their places."""
        table = self._table.clone()
        table[self._used] = trained.detach().to(table)
        return table


def shrink(encoder: torch.nn.Module, used: Iterable[int], pad: int) -> Vocabulary:
    """Leave only the rows `used` in the encoder's input embeddings, in the order of their ids.

    All rows up to that of the padding stay: some encoders know its number by heart.
    """
    transformer = cast(Any, encoder)
    current: torch.nn.Embedding = transformer.get_input_embeddings()
    table = current.weight.detach().clone()
    rows = np.unique(np.fromiter({*used, *range(pad + 1)}, np.int64))
    small = torch.nn.Embedding(
        len(rows), table.shape[1], current.padding_idx, _weight=table[torch.from_numpy(rows)]
    )
    transformer.set_input_embeddings(small)
    return Vocabulary(rows, table)


def embedding_name(module: torch.nn.Module) -> str:
    """The name of the encoder's input embeddings among the parameters of an adapter's module."""
    weight = cast(Any, module).encoder.get_input_embeddings().weight
    return next(name for name, p in module.named_parameters() if p is weight)
