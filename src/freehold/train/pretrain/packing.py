"""Rows of tokens: documents packed into rows of a fixed length, or each in a row of its own.

In a packed row a document is what it would be alone: attention stays within it (a block-diagonal
mask) and its positions begin anew, so its hidden states are the same. `apart.first_place` puts a
checkpoint to that test before anything is packed for it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import Ids, pad_ids

__all__ = ["Documents", "Rows", "attention_of", "best_fit", "pack", "separate"]


@dataclass(frozen=True, slots=True)
class Documents:
    """Texts as token ids, separators included. `words` has the number of the word that each token
    is a part of, -1 for the tokenizer's own marks."""

    ids: list[Ids]
    words: list[Ids]

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids], np.int64)

    def take(self, numbers: Sequence[int]) -> Documents:
        return Documents([self.ids[n] for n in numbers], [self.words[n] for n in numbers])


@dataclass(frozen=True, slots=True)
class Rows:
    """What the batches are made of. `places` has the position of each token in its document, and
    `documents` says of each token which document of its row it is in; None where every row is one
    document, which then needs neither."""

    ids: list[Ids]
    words: list[Ids]
    places: list[Ids] | None = None
    documents: list[Ids] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids], np.int64)


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Numbers of documents by row, no row above `size`: longest first, each into the fullest row
    that still has room (best-fit decreasing; Johnson 1973: at most 11/9 of the fewest rows).

    Raises ValueError for a document longer than a row.
    """
    rows: list[list[int]] = []
    open_rows: list[list[int]] = [[] for _ in range(size + 1)]  # by the room that is left
    rooms: list[int] = []  # of which there is an open row, sorted
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        length = int(lengths[number])
        if length > size:
            raise ValueError(f"a document of {length} tokens does not fit a row of {size}")
        place = bisect_left(rooms, length)
        if place == len(rooms):
            rows.append([number])
            row, room = len(rows) - 1, size - length
        else:
            room = rooms[place]
            row = open_rows[room].pop()
            if not open_rows[room]:
                rooms.pop(place)
            rows[row].append(number)
            room -= length
        if room:
            if not open_rows[room]:
                insort(rooms, room)
            open_rows[room].append(row)
    return rows


def pack(documents: Documents, size: int, *, first: int = 0) -> Rows:
    """Documents side by side in rows of at most `size` tokens; the model counts the positions of
    each from `first`."""
    ids, words, places, numbers = [], [], [], []
    for row in best_fit(documents.lengths().tolist(), size):
        parts = [documents.ids[n] for n in row]
        ids.append(np.concatenate(parts))
        words.append(_apart([documents.words[n] for n in row]))
        places.append(
            np.concatenate([np.arange(first, first + len(part), dtype=np.int32) for part in parts])
        )
        numbers.append(np.repeat(np.arange(len(row), dtype=np.int32), [len(p) for p in parts]))
    return Rows(ids, words, places, numbers)


def separate(documents: Documents) -> Rows:
    """Each document in a row of its own."""
    return Rows(documents.ids, documents.words)


def _apart(words: Sequence[Ids]) -> Ids:
    """Word numbers of several documents in one row, so that no two documents share one."""
    parts, above = [], 0
    for part in words:
        parts.append(np.where(part < 0, part, part + above).astype(np.int32))
        above += int(part.max(initial=-1)) + 1
    return np.concatenate(parts)


def attention_of(
    rows: Rows, numbers: Sequence[int], mask: torch.Tensor | None, *, causal: bool
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The attention mask and the positions of a batch, for a transformers model.

    Where nothing is packed that is the plain `mask` and None. Otherwise the mask is
    (batch, 1, tokens, tokens) in float32, 0 where a token may look (within its own document, with
    `causal` only backwards) and the least float elsewhere; the positions are (batch, tokens) int64.
    Padding looks at padding, so that no row of the softmax is without a place to look.
    """
    if rows.places is None or rows.documents is None:
        return mask, None
    places, _ = pad_ids(rows.places, numbers, 0)
    documents, _ = pad_ids(rows.documents, numbers, -1)
    same = documents[:, :, None] == documents[:, None, :]
    if causal:
        length = documents.shape[1]
        same &= torch.ones(length, length, dtype=torch.bool).tril()
    hidden = torch.zeros(same.shape).masked_fill_(~same, torch.finfo(torch.float32).min)
    return hidden[:, None], places
