"""Logits -> answers: probabilities of labels for a text, entities for its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.serve.tokenise import Encoded

__all__ = ["Answer", "Entity", "TaggedWord", "TextAnswer", "WordsAnswer", "decode", "softmax"]

_OUTSIDE = "O"
_PREFIXES = ("B", "I", "E", "S")  # BIO, and the end and single marks of BIOES
_UNTYPED = "_"  # the type of a bare "B" or "I", as seqeval names it


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

    def document(self) -> list[dict[str, Any]]:
        return [{"label": label, "score": score} for label, score in self.scores]


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

    def document(self) -> list[dict[str, Any]]:
        """The entities; for word by word ask `words`, leaving out the tag "O"."""
        return [entity.document() for entity in self.entities]


Answer = TextAnswer | WordsAnswer


def decode(
    encoded: Encoded, logits: NDArray[np.float32], labels: Sequence[str], temperature: float
) -> Answer:
    """The answer to one text from its logits, (labels,) or (words, labels)."""
    chances = softmax(logits, temperature)
    if encoded.words is None:
        order = np.argsort(-chances, kind="stable").tolist()
        values = chances.tolist()
        return TextAnswer(tuple((labels[place], values[place]) for place in order))
    best = chances.argmax(axis=1).tolist()
    words = tuple(
        TaggedWord(labels[place], float(row[place]), encoded.text[start:end], start, end)
        for place, row, (start, end) in zip(best, chances, encoded.words.spans, strict=True)
    )
    return WordsAnswer(words, _entities(words, encoded.text))


def softmax(logits: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float64]:
    """Probabilities over the last axis of logits / temperature (Guo et al. 2017, "On Calibration of
    Modern Neural Networks", section 4.2), in float64; same shape."""
    scaled = logits.astype(np.float64) / temperature
    if scaled.size:
        scaled -= scaled.max(axis=-1, keepdims=True)
    powers = np.exp(scaled)
    chances: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return chances


def _entities(words: Sequence[TaggedWord], text: str) -> tuple[Entity, ...]:
    """Words merged by the rules of conlleval (Tjong Kim Sang and De Meulder 2003, section 2.4), the
    same as evaluation counts by: I-X goes on with an X before it, and begins one where there is
    none."""
    groups: list[list[TaggedWord]] = []
    before, kind_before = _OUTSIDE, ""
    for word in words:
        prefix, kind = _parts(word.tag)
        goes_on = kind == kind_before and prefix not in ("B", "S") and before not in ("E", "S")
        if prefix != _OUTSIDE:
            if goes_on and before != _OUTSIDE:
                groups[-1].append(word)
            else:
                groups.append([word])
        before, kind_before = prefix, kind
    return tuple(_entity(group, text) for group in groups)


def _entity(group: Sequence[TaggedWord], text: str) -> Entity:
    start, end = group[0].start, group[-1].end
    score = sum(word.score for word in group) / len(group)
    return Entity(_parts(group[0].tag)[1], score, text[start:end], start, end)


def _parts(tag: str) -> tuple[str, str]:
    """Prefix and type; a word of an unprefixed tag counts as inside its entity."""
    if tag == _OUTSIDE:
        return _OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    if prefix not in _PREFIXES:
        return "I", tag
    return prefix, kind if dash and kind else _UNTYPED
