"""The attack on one text: the words that matter most, changed one after the other, greedily.

As in TextFooler (Jin, Jin, Zhou and Szolovits 2020, "Is BERT Really Robust?") and BERT-Attack
(Li et al. 2020): a word's importance is what the probability of the right answer loses when the
word is left out; from the most important on, each word takes the change that hurts most, until the
answer turns, the budget is spent, or as many words are changed as validity allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from freehold.data.perturb.lexicon import Lexicon
from freehold.data.perturb.moves import Kind, candidates
from freehold.data.perturb.words import NEGATIONS, Words

__all__ = ["Ask", "Attempt", "Change", "Compare", "Limits", "Row", "Search", "Target", "search"]

PER_WORD = 8  # candidates tried for a word at most, in all kinds together

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Limits:
    """What an attack may do, and what counts as the same text to a reader."""

    budget: int = 60  # questions to the model a text, the first look and the word weights included
    words: float = 0.2  # share of the words that may be changed; one always may
    similarity: float = 0.8  # cosine between the original and the text with its synonyms alone

    def most_words(self, count: int) -> int:
        return max(1, int(self.words * count))


@dataclass(frozen=True, slots=True)
class Target:
    """A text the model answers rightly, with what has been asked of it: how sure it is, and the
    weight of each word (what the right answer's probability loses without it) that was weighed."""

    number: int
    words: Words
    gold: int
    sure: float
    weights: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Change:
    place: int  # of the word, from 0
    before: str
    after: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of the attack on one text. `answer` is the model's to `text`, `broken` says that it
    is wrong; `similarity` is None where no synonym was used. `refused` counts changes that would
    have been made, or would have turned the answer, and that validity forbids, by reason."""

    number: int
    broken: bool
    text: str
    changes: tuple[Change, ...]
    places: tuple[tuple[int, int], ...]  # where in `text` each of them begins and ends
    words: int
    queries: int
    sure_before: float
    sure_after: float
    answer: int
    similarity: float | None
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """Texts whose probabilities the search wants next, (texts, labels)."""

    texts: list[str]


@dataclass(frozen=True, slots=True)
class Compare:
    """Texts whose likeness to the original it wants next, (texts,) cosines."""

    original: str
    texts: list[str]


Search = Generator[Ask | Compare, Row, Attempt]
Option = tuple[str, Kind]  # what a word is replaced by, and of which kind that is


def search(
    target: Target,
    kinds: Sequence[Kind],
    lexicon: Lexicon,
    limits: Limits,
    chance: np.random.Generator,
) -> Search:
    """A generator that asks for probabilities (and likenesses) and returns its Attempt."""
    words = target.words.words
    options = _options(target, kinds, lexicon, chance)
    state = _State(target, limits, spent=1 + len(options))
    state.refused["negation"] = sum(
        words[place].lower() in NEGATIONS and weight > 0 for place, weight in target.weights.items()
    )
    for place in sorted(options, key=lambda place: -target.weights[place]):
        if state.spent >= limits.budget:
            break
        if len(state.changes) == limits.most_words(len(words)):
            state.refused["words changed"] += 1
            break
        if (yield from _change(state, place, options[place])):
            return state.attempt(broken=True)
    return state.attempt(broken=False)


def _change(
    state: _State, place: int, options: Sequence[Option]
) -> Generator[Ask | Compare, Row, bool]:
    """Try a word's options and keep the one that hurts most; whether it turned the answer."""
    gold = state.target.gold
    tried = options[: state.limits.budget - state.spent]
    rows = yield Ask([state.with_(place, option) for option in tried])
    state.spent += len(tried)
    turned = [number for number, row in enumerate(rows) if row.argmax() != gold]
    likeness = yield from state.likeness(place, [tried[number] for number in turned])
    valid = [
        (1.0 if like is None else like, number, like)
        for number, like in zip(turned, likeness, strict=True)
        if like is None or like >= state.limits.similarity
    ]
    state.refused["similarity"] += len(turned) - len(valid)
    if valid:  # of those that turn the answer, the one that stays nearest to the original
        _, number, like = max(valid, key=lambda one: one[0])
        state.take(place, tried[number], rows[number], like)
        return True
    left = [number for number in range(len(tried)) if number not in turned]
    if left:
        number = min(left, key=lambda number: float(rows[number][gold]))
        if rows[number][gold] < state.sure:
            state.take(place, tried[number], rows[number], None)
    return False


def _options(
    target: Target, kinds: Sequence[Kind], lexicon: Lexicon, chance: np.random.Generator
) -> dict[int, list[Option]]:
    """What each weighed word can be changed into; kinds take turns, so that each has its share."""
    found: dict[int, list[Option]] = {}
    for place in target.weights:
        each = [
            [
                (other, kind)
                for other in candidates(
                    kind, target.words.words[place], lexicon, chance, -(-PER_WORD // len(kinds))
                )
            ]
            for kind in kinds
        ]
        mixed = [option for several in each for option in several][:PER_WORD]
        if mixed:
            found[place] = mixed
    return found


@dataclass(slots=True)
class _State:
    """How far the search of one text is."""

    target: Target
    limits: Limits
    spent: int
    changes: dict[int, Option] = field(default_factory=dict)
    sure: float = 0.0
    answer: int = 0
    similarity: float | None = None
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.sure, self.answer = self.target.sure, self.target.gold

    def with_(self, place: int, option: Option) -> str:
        changed = {at: word for at, (word, _) in self.changes.items()}
        return self.target.words.text({**changed, place: option[0]})

    def take(self, place: int, option: Option, row: Row, similarity: float | None) -> None:
        self.changes[place] = option
        self.sure, self.answer = float(row[self.target.gold]), int(row.argmax())
        self.similarity = similarity

    def likeness(
        self, place: int, options: Sequence[Option]
    ) -> Generator[Compare, Row, list[float | None]]:
        """How like the original each text is to one who reads over misspellings: with its synonyms
        alone. A misspelling is held in bounds by being one edit; None where there is no synonym."""
        read: list[str | None] = []
        for option in options:
            both = {**self.changes, place: option}
            words = {at: word for at, (word, kind) in both.items() if kind == "synonym"}
            read.append(self.target.words.text(words) if words else None)
        texts = [text for text in read if text is not None]
        found: Row = np.zeros(0)
        if texts:
            found = yield Compare(self.target.words.text(), texts)
        values = iter(found.tolist())
        return [None if text is None else next(values) for text in read]

    def attempt(self, *, broken: bool) -> Attempt:
        words = self.target.words.words
        changed = {at: word for at, (word, _) in self.changes.items()}
        return Attempt(
            number=self.target.number,
            broken=broken,
            text=self.target.words.text(changed),
            changes=tuple(
                Change(at, words[at], word, kind)
                for at, (word, kind) in sorted(self.changes.items())
            ),
            places=self.target.words.places(changed),
            words=len(words),
            queries=self.spent,
            sure_before=self.target.sure,
            sure_after=self.sure,
            answer=self.answer,
            similarity=self.similarity,
            refused={reason: count for reason, count in self.refused.items() if count},
        )
