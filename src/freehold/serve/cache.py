"""Answers to texts that were asked before: what the model said of them, in bounded memory.

An entry is one text's encoding and logits under the model version that gave them. What a contract
or a parameter makes of them is made anew for each request, so that the same entry serves them all.
The same text is answered with the same figures as long as its entry is kept; the least recently
used are dropped first.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from freehold.serve.ports import ModelEngine

__all__ = ["AnswerCache"]

_ENTRY = 400  # bytes of an entry's key, place and objects, beside what `_size` counts


class AnswerCache:
    """Lives in one event loop. Holds at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[Hashable, tuple[Any, Any, int]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, engine: ModelEngine, text: Any) -> tuple[Any, Any] | None:
        """(encoded text, logits), or None if it was not asked lately."""
        key = _key(engine, text)
        entry = self._entries.get(key) if key is not None else None
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0], entry[1]

    def keep(self, engine: ModelEngine, text: Any, encoded: Any, logits: Any) -> None:
        """Keep what was answered; one that is larger than all of the cache is not kept."""
        key = _key(engine, text)
        if key is None or key in self._entries:
            return
        if isinstance(logits, np.ndarray):
            logits = logits.copy()  # a row of its batch would keep the batch
        size = _ENTRY + _size(text) + _size(encoded) + _size(logits)
        if size > self._most:
            return
        self._entries[key] = encoded, logits, size
        self.bytes += size
        while self.bytes > self._most:
            _, (_, _, dropped) = self._entries.popitem(last=False)
            self.bytes -= dropped


def _key(engine: ModelEngine, text: Any) -> Hashable | None:
    """The version and the text itself, not a digest: no two texts are ever taken for one. None for
    what cannot be looked up."""
    key = (engine.meta.model, engine.meta.version, type(text), text)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def _size(value: Any) -> int:
    """Bytes of what is held, within a tenth or so."""
    if isinstance(value, np.ndarray):
        return 112 + value.nbytes
    if isinstance(value, list | tuple) or (
        isinstance(value, Sequence) and not isinstance(value, str | bytes)
    ):
        return sys.getsizeof(value) + sum(map(_size, value))
    if isinstance(value, Mapping):
        return sys.getsizeof(value) + sum(_size(key) + _size(one) for key, one in value.items())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return sys.getsizeof(value) + sum(_size(getattr(value, field.name)) for field in fields)
    return sys.getsizeof(value)
