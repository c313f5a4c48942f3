"""A text cut into words and what stands between them, so that a word can be changed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

__all__ = ["NEGATIONS", "Words", "cut", "is_chinese"]

_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_CHINESE}]+|[^\W_{_CHINESE}]+(?:['’-][^\W_{_CHINESE}]+)*")
_LONGEST = 4  # characters of the longest Chinese word that is looked for

# Words whose change turns the meaning round; "ca" and "wo" are what some tokenisers leave of
# "can't" and "won't". No attack touches them.
_NEGATIONS = (
    "not no never none nothing nobody nowhere neither nor without cannot n't nt t ca wo ai "
    "don't doesn't didn't isn't aren't wasn't weren't won't wouldn't can't couldn't shouldn't "
    "hasn't haven't hadn't ain't mustn't needn't hardly barely scarcely "
    "不 没 沒 无 無 未 别 別 非 莫 勿 否 没有 沒有 不是 不会 不能"
)
NEGATIONS = frozenset(_NEGATIONS.split())


@dataclass(frozen=True, slots=True)
class Words:
    """`gaps` has one part more than `words`: gap, word, gap, word, ... gap is the text."""

    words: tuple[str, ...]
    gaps: tuple[str, ...]

    def text(self, changed: Mapping[int, str] | None = None) -> str:
        """The text with the words at these positions replaced."""
        changed = changed or {}
        parts = [self.gaps[0]]
        for number, word in enumerate(self.words):
            parts += [changed.get(number, word), self.gaps[number + 1]]
        return "".join(parts)

    def places(self, changed: Mapping[int, str]) -> tuple[tuple[int, int], ...]:
        """Where in `text(changed)` each changed word begins and ends, in their order."""
        found, at = [], len(self.gaps[0])
        for number, word in enumerate(self.words):
            end = at + len(changed.get(number, word))
            if number in changed:
                found.append((at, end))
            at = end + len(self.gaps[number + 1])
        return tuple(found)

    def without(self, number: int) -> str:
        """The text less one word and the gap after it."""
        parts = [self.gaps[0]]
        for place, word in enumerate(self.words):
            if place != number:
                parts += [word, self.gaps[place + 1]]
        return "".join(parts)


def cut(text: str, known: Collection[str] = ()) -> Words:
    """Words are runs of letters and digits, with ' and - inside them. Chinese has no spaces: there
    the longest run that is in `known` is a word, else a single character."""
    words: list[str] = []
    gaps: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        gaps.append(text[end : match.start()])
        end = match.end()
        found = _chinese(match[0], known) if is_chinese(match[0]) else [match[0]]
        words += found
        gaps += [""] * (len(found) - 1)
    return Words(tuple(words), (*gaps, text[end:]))


def is_chinese(word: str) -> bool:
    return re.match(f"[{_CHINESE}]", word) is not None


def _chinese(run: str, known: Collection[str]) -> list[str]:
    words: list[str] = []
    at = 0
    while at < len(run):
        length = next(
            (n for n in range(min(_LONGEST, len(run) - at), 1, -1) if run[at : at + n] in known), 1
        )
        words.append(run[at : at + length])
        at += length
    return words
