"""How a word is written, for models whose tokenizer sees it in lower case only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHAPES", "shape", "shapes"]

SHAPES = 6
_PLAIN, _TITLE, _SINGLE, _ALL, _MIXED, _INNER = range(SHAPES)


def shape(word: str) -> int:
    """0 no capitals (also what has no case: figures, Chinese), 1 Title, 2 a single capital letter
    (I, J.), 3 ALL CAPITALS, 4 Begins with one and has More, 5 hasSome inside only."""
    lower = word.lower()
    if lower == word:
        return _PLAIN
    if word.upper() == word:
        return _ALL if sum(letter.isupper() for letter in word) > 1 else _SINGLE
    if not word[0].isupper():
        return _INNER
    return _TITLE if word[1:] == lower[1:] else _MIXED


def shapes(words: Sequence[str]) -> NDArray[np.int32]:
    """(words,)"""
    return np.fromiter(map(shape, words), np.int32, len(words))
