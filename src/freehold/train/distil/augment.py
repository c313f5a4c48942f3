"""New texts from those there are, for the teacher to answer: words left out, put in, or joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from freehold.errors import TrainError
from freehold.tasks.types import Example, TaggedExample

__all__ = ["stretched"]

CHANGED = 0.15  # share of the words that is left out or replaced


def stretched(examples: Sequence[Any], times: int, seed: int) -> list[Any]:
    """`times` new examples of each, without labels, from the seed alone.

    Each is made in one of three ways, drawn by chance: some words left out; some replaced by words
    of other texts, as often as they occur there; or the beginning of it with the end of another.
    What such a text means is the teacher's to say. (Jiao et al. 2020 and Tang et al. 2019 stretch
    small sets for distillation so, with a masked language model and with n-grams.)
    """
    if not times:
        return []
    texts = [_words(example) for example in examples]
    every = [word for words in texts for word in words]
    random = np.random.default_rng([seed, len(texts)])
    ways = (_shortened, _replaced, _joined)
    made = []
    for _ in range(times):
        for example, words in zip(examples, texts, strict=True):
            other = texts[int(random.integers(len(texts)))]
            way = ways[int(random.integers(len(ways)))]
            made.append(_with_words(example, way(words, other, every, random)))
    return made


Words = Sequence[str]


def _shortened(words: Words, other: Words, every: Words, random: np.random.Generator) -> Words:
    kept = random.random(len(words)) >= CHANGED
    return [word for word, stays in zip(words, kept, strict=True) if stays] or words


def _replaced(words: Words, other: Words, every: Words, random: np.random.Generator) -> Words:
    changed = random.random(len(words)) < CHANGED
    drawn = random.integers(len(every), size=len(words)).tolist()
    return [
        every[number] if new else word
        for word, new, number in zip(words, changed, drawn, strict=True)
    ]


def _joined(words: Words, other: Words, every: Words, random: np.random.Generator) -> Words:
    cut, at = int(random.integers(len(words) + 1)), int(random.integers(len(other) + 1))
    return [*words[:cut], *other[at:]] or words


def _words(example: Any) -> Words:
    if isinstance(example, TaggedExample):
        return example.tokens
    if isinstance(example, Example):
        return example.text.split()
    raise TrainError(
        f"New texts are made for single texts and tagged words, not of a {type(example).__name__}.",
        hint="Leave out --augment, or give more texts with --corpus.",
    )


def _with_words(example: Any, words: Words) -> Any:
    if isinstance(example, TaggedExample):
        return replace(example, tokens=tuple(words), tags=None, breaks=())
    return replace(example, text=" ".join(words), label=None)
