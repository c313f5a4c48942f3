"""Tests of behaviour after CheckList: other names and numbers must not change the answer, and a
negation is reported apart.

Ribeiro, Wu, Guestrin and Singh 2020, "Beyond Accuracy: Behavioral Testing of NLP Models with
CheckList": invariance tests (INV) need no labels, since only a change of the answer counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from freehold.data.perturb.lexicon import names
from freehold.data.perturb.words import Words, cut
from freehold.evaluate.attack.driver import Predict, Row

__all__ = ["Behaviour", "Turn", "behave"]

VARIANTS = 5  # of each text with a name or a number
_AUXILIARY = (
    "is are was were am will would can could should must may might does do did has have had"
)
_AUXILIARIES = frozenset(_AUXILIARY.split())
_CHINESE_HOOKS = ("很", "太", "是", "会", "能", "可以")  # the negation goes before these


@dataclass(frozen=True, slots=True)
class Turn:
    """A changed text that is answered otherwise than the original."""

    number: int
    text: str
    answer: int  # to `text`
    before: int  # to the original


@dataclass(frozen=True, eq=False)
class Behaviour:
    """One test: the texts it could be made of, and which of them turned under any variant.

    `fall` is by how much the probability of the original answer fell, for each text the most.
    """

    name: str
    numbers: tuple[int, ...]  # of the texts
    turned: Row  # (texts,) 1 where any variant turned the answer
    fall: Row  # (texts,)
    examples: tuple[Turn, ...]


def behave(
    texts: Sequence[str], rows: Row, predict: Predict, *, seed: int
) -> tuple[Behaviour, ...]:
    """The tests names, numbers and negation on texts, whose probabilities are `rows`."""
    found = []
    for order, (name, make) in enumerate(_TESTS.items()):
        variants: dict[int, list[str]] = {}
        for number, text in enumerate(texts):
            made = make(text, np.random.default_rng([seed, order, number]))
            if several := [one for one in dict.fromkeys(made) if one != text]:
                variants[number] = several
        found.append(_outcome(name, variants, rows, predict))
    return tuple(found)


def _outcome(
    name: str, variants: Mapping[int, Sequence[str]], rows: Row, predict: Predict
) -> Behaviour:
    asked = [text for several in variants.values() for text in several]
    answers = predict(asked) if asked else np.zeros((0, 1))
    turned, fall, examples, at = [], [], [], 0
    for number, several in variants.items():
        before = int(rows[number].argmax())
        some = answers[at : at + len(several)]
        at += len(several)
        fall.append(float(rows[number][before] - some[:, before].min()))
        worst = int(some[:, before].argmin())
        turned.append(float((some.argmax(1) != before).any()))
        if some[worst].argmax() != before:
            examples.append(Turn(number, several[worst], int(some[worst].argmax()), before))
    return Behaviour(name, tuple(variants), np.array(turned), np.array(fall), tuple(examples))


def _other_names(text: str, chance: np.random.Generator) -> Iterator[str]:
    """Every given name, family name and place in turn for another of its kind."""
    words = cut(text, _chinese_names())
    lower = text == text.lower()  # a text without capitals has its names without them as well
    kinds = {
        place: kind
        for place, word in enumerate(words.words)
        if (kind := _kind_of().get(word.lower())) and (lower or not word.islower())
    }
    for _ in range(VARIANTS if kinds else 0):
        changed = {}
        for place, kind in kinds.items():
            pool = names()[kind]
            other = pool[chance.integers(len(pool))]
            word = words.words[place]
            changed[place] = other if word.islower() else _capital(other, word)
        yield words.text(changed)


def _capital(other: str, word: str) -> str:
    return other.upper() if word.isupper() and len(word) > 1 else other.capitalize()


@cache
def _kind_of() -> dict[str, str]:
    return {name: kind for kind, several in names().items() for name in several}


@cache
def _chinese_names() -> frozenset[str]:
    return frozenset(names()["zh_place"] + names()["zh_name"])


def _other_numbers(text: str, chance: np.random.Generator) -> Iterator[str]:
    """Every number for another of as many digits; years stay years."""
    words = cut(text)
    places = [place for place, word in enumerate(words.words) if word.isdecimal()]
    for _ in range(VARIANTS if places else 0):
        yield words.text({place: _number(words.words[place], chance) for place in places})


def _number(word: str, chance: np.random.Generator) -> str:
    if len(word) == 4 and word[:2] in ("19", "20"):
        return word[:2] + f"{chance.integers(100):02d}"
    first = str(chance.integers(1, 10)) if word[0] != "0" else "0"
    return first + "".join(str(digit) for digit in chance.integers(0, 10, len(word) - 1))


def _negated(text: str, chance: np.random.Generator) -> Iterator[str]:
    """One text: its first negation taken out, or one put in where it has none."""
    words = cut(text)
    lower = [word.lower() for word in words.words]
    for place, word in enumerate(lower):
        if word in ("not", "n't", "never", "不", "没"):
            yield _without(words, lower, place)
            return
        if word.endswith(("n't", "n’t")) and word[:-3] in _AUXILIARIES:
            yield words.text({place: words.words[place][:-3]})
            return
    for place, word in enumerate(lower):
        if word in _AUXILIARIES and place + 1 < len(lower):
            yield words.text({place: words.words[place] + " not"})
            return
        if word in _CHINESE_HOOKS:
            yield words.text({place: "不" + words.words[place]})
            return


def _without(words: Words, lower: Sequence[str], place: int) -> str:
    """Less the negation; what "can't" and "won't" were cut into gets its word back."""
    whole = {"ca": "can", "wo": "will"}.get(lower[place - 1] if place else "")
    changed = {place: ""} if whole is None else {place - 1: whole, place: ""}
    return " ".join(words.text(changed).split())


_TESTS: dict[str, Callable[[str, np.random.Generator], Iterator[str]]] = {
    "names": _other_names,
    "numbers": _other_numbers,
    "negation": _negated,
}
