"""What models answer: labels with probabilities, entities, numbers, parts of a text, vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.tasks.bio import OUTSIDE, parts

__all__ = [
    "Entity",
    "LabelsAnswer",
    "NumberAnswer",
    "SpanAnswer",
    "TaggedWord",
    "TextAnswer",
    "VectorAnswer",
    "WordsAnswer",
    "entities_of",
    "softmax",
]


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """Every label with its probability, the likeliest first."""

    scores: tuple[tuple[str, float], ...]

    @property
    def label(self) -> str:
        return self.scores[0][0]

    @property
    def score(self) -> float:
        return self.scores[0][1]

    def document(self) -> dict[str, Any]:
        return {"label": self.label, "score": self.score, "scores": dict(self.scores)}


@dataclass(frozen=True, slots=True)
class TaggedWord:
    """One word, its likeliest tag and that tag's probability; [start, end) are characters."""

    tag: str
    score: float
    word: str
    start: int
    end: int

    def document(self) -> dict[str, Any]:
        return {
            "entity": self.tag,
            "score": self.score,
            "word": self.word,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class Entity:
    """Adjacent words of one entity; `score` is the mean of their tags' probabilities."""

    type: str
    score: float
    word: str  # the text from start to end, blanks between words included
    start: int
    end: int

    def document(self) -> dict[str, Any]:
        return {
            "entity_group": self.type,
            "score": self.score,
            "word": self.word,
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True, slots=True)
class WordsAnswer:
    """A text's words with their tags, "O" included, and the entities they make."""

    words: tuple[TaggedWord, ...]
    entities: tuple[Entity, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(word.tag for word in self.words)

    def document(self) -> dict[str, Any]:
        return {
            "tokens": [word.word for word in self.words],
            "tags": list(self.tags),
            "entities": [entity.document() for entity in self.entities],
        }


@dataclass(frozen=True, slots=True)
class LabelsAnswer:
    """Every label with its own probability, the likeliest first; `chosen` are those above their
    thresholds, in the same order."""

    scores: tuple[tuple[str, float], ...]
    chosen: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        return {"labels": list(self.chosen), "scores": dict(self.scores)}


@dataclass(frozen=True, slots=True)
class NumberAnswer:
    score: float

    def document(self) -> dict[str, Any]:
        return {"score": self.score}


@dataclass(frozen=True, slots=True)
class SpanAnswer:
    """A part of a context, [start, end) characters, with its probability; an empty text at 0 means
    that the context does not say it. Of the best answer `others` are all others, the likeliest
    first."""

    answer: str
    score: float
    start: int
    end: int
    others: tuple[SpanAnswer, ...] = ()

    def document(self) -> dict[str, Any]:
        return {"answer": self.answer, "score": self.score, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True, eq=False)
class VectorAnswer:
    """A text's embedding, of length 1."""

    vector: NDArray[np.float32]

    def document(self) -> dict[str, Any]:
        return {"embedding": self.vector.tolist()}


def softmax(logits: NDArray[np.floating[Any]], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities over the last axis of logits / temperature (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", section 4.2), in float64; same shape."""
    # One request's row is short: what counts is the number of calls, and that they are the ufuncs'.
    chances: NDArray[np.float64] = np.divide(logits, temperature, dtype=np.float64)
    if chances.size:
        chances -= np.maximum.reduce(chances, axis=-1, keepdims=True)
    np.exp(chances, out=chances)
    chances /= np.add.reduce(chances, axis=-1, keepdims=True)
    return chances


def entities_of(words: Sequence[TaggedWord], text: str) -> tuple[Entity, ...]:
    """Words merged by the rules of conlleval (Tjong Kim Sang and De Meulder 2003, section 2.4), the
    same as evaluation counts by: I-X goes on with an X before it, and begins one where there is
    none."""
    groups: list[list[TaggedWord]] = []
    before, kind_before = OUTSIDE, ""
    for word in words:
        prefix, kind = parts(word.tag)
        goes_on = kind == kind_before and prefix not in ("B", "S") and before not in ("E", "S")
        if prefix != OUTSIDE:
            if goes_on and before != OUTSIDE:
                groups[-1].append(word)
            else:
                groups.append([word])
        before, kind_before = prefix, kind
    return tuple(_entity(group, text) for group in groups)


def _entity(group: Sequence[TaggedWord], text: str) -> Entity:
    start, end = group[0].start, group[-1].end
    score = sum(word.score for word in group) / len(group)
    return Entity(parts(group[0].tag)[1], score, text[start:end], start, end)
