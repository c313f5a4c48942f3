"""What a word can be changed into, one edit a word: typo, swap, homoglyph, synonym.

Typing slips keep the first and the last letter, as readers then hardly stumble (Pruthi, Dhingra and
Lipton 2019, "Combating Adversarial Misspellings with Robust Word Recognition").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Literal, get_args

import numpy as np

from freehold.data.perturb.lexicon import Lexicon, alike
from freehold.data.perturb.words import NEGATIONS, cut, is_chinese

__all__ = ["KINDS", "Kind", "candidates", "perturbed"]

Kind = Literal["typo", "swap", "homoglyph", "synonym"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_SHORTEST = 4  # letters of the shortest word that is misspelt; "for" misspelt is another word
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
# Letters of Cyrillic, Greek and Armenian that many fonts draw as the Latin one.
_GLYPHS = str.maketrans(
    "aceghijlnopqsuvwxydABCEHIJKMNOPSTXYZ",
    "асеցһіјӏոорզѕսνԝхуԁАВСЕНІЈКМΝОРЅТХУΖ",
)


def candidates(
    kind: Kind, word: str, lexicon: Lexicon, chance: np.random.Generator, most: int
) -> list[str]:
    """Up to `most` different words that `word` can be changed into; none for a negation, a number,
    or a word too short. Synonyms come in the lexicon's order, the others are drawn."""
    if word.lower() in NEGATIONS or any(c.isdigit() for c in word):
        return []
    if kind == "synonym":
        return [_cased(other, word) for other in lexicon.synonyms(word)][:most]
    ways = _chinese(kind, word) if is_chinese(word) else _letters(kind, word)
    drawn = [[way[number] for number in chance.permutation(len(way))] for way in ways if way]
    # In turns, so that slips of which there are few (a letter left out) come as often as others.
    mixed = (one for turn in zip_longest(*drawn) for one in turn if one is not None)
    return [one for one in dict.fromkeys(mixed) if _misspelt(one, word, lexicon)][:most]


def perturbed(
    text: str,
    lexicon: Lexicon,
    chance: np.random.Generator,
    *,
    share: float,
    kinds: Sequence[Kind] = KINDS,
) -> str:
    """The text with about `share` of its words changed, at least one where one can be; each changed
    word takes a kind at random. A text without such a word comes back as it is."""
    words = cut(text, lexicon.entries)
    wanted = max(1, round(share * len(words.words)))
    changed: dict[int, str] = {}
    for place in chance.permutation(len(words.words)).tolist():
        if len(changed) == wanted:
            break
        for number in chance.permutation(len(kinds)):
            found = candidates(kinds[number], words.words[place], lexicon, chance, 8)
            if found:
                changed[place] = found[chance.integers(len(found))]
                break
    return words.text(changed)


def _misspelt(other: str, word: str, lexicon: Lexicon) -> bool:
    """Neither the word itself, nor a negation, nor another word that we know."""
    return other != word and other.lower() not in NEGATIONS and not lexicon.synonyms(other)


def _letters(kind: Kind, word: str) -> list[list[str]]:
    """The ways of one kind, each with all the words it leads to."""
    if len(word) < _SHORTEST:
        return []
    if kind == "homoglyph":
        return [list(_glyphs(word))]
    inner = range(1, len(word) - 1)
    if kind == "swap":
        return [[word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in inner[:-1]]]
    return [
        [word[:at] + near + word[at + 1 :] for at in inner for near in _near(word[at])],
        [word[:at] + near + word[at:] for at in inner for near in _near(word[at])],
        [word[:at] + word[at + 1 :] for at in inner],
    ]


def _glyphs(word: str) -> Iterator[str]:
    for at, letter in enumerate(word):
        yield word[:at] + letter.translate(_GLYPHS) + word[at + 1 :]


def _chinese(kind: Kind, word: str) -> list[list[str]]:
    """The characters of a word swapped; characters that look alike, or are typed alike."""
    if kind == "swap":
        inner = range(len(word) - 1)
        return [[word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in inner]]
    others = alike("look" if kind == "homoglyph" else "sound")
    return [
        [word[:at] + other + word[at + 1 :] for other in others.get(character, ())]
        for at, character in enumerate(word)
    ]


def _near(letter: str) -> str:
    """The keys that touch a letter's key."""
    lower = letter.lower()
    for number, row in enumerate(_ROWS):
        if (at := row.find(lower)) >= 0:
            above = _ROWS[number - 1][at : at + 2] if number else ""
            below = _ROWS[number + 1][max(0, at - 1) : at + 1] if number < len(_ROWS) - 1 else ""
            near = row[max(0, at - 1) : at] + row[at + 1 : at + 2] + above + below
            return near.upper() if letter.isupper() else near
    return ""


def _cased(other: str, word: str) -> str:
    if len(word) > 1 and word.isupper():
        return other.upper()
    return other[0].upper() + other[1:] if word[0].isupper() else other
