"""How much of a right answer an answer says: the figures of SQuAD."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from freehold.tasks.words import IDEOGRAPHS

__all__ = ["exact_match", "overlap_f1", "words"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_IDEOGRAPH = re.compile(f"([{IDEOGRAPHS}])")
_DELETED = str.maketrans("", "", string.punctuation)


def overlap_f1(answer: str, right: Sequence[tuple[str, int]]) -> float:
    """F1 of the words that an answer shares with the best of the right ones, (text, start) each; 1
    where rightly nothing is said (Rajpurkar et al. 2016, section 6.1; 2018, section 5)."""
    found = Counter(words(answer))
    return max(_f1(found, Counter(gold)) for gold in _golds(right))


def exact_match(answer: str, right: Sequence[tuple[str, int]]) -> float:
    """1 where the answer is one of the right ones, but for case, articles and punctuation."""
    return float(words(answer) in _golds(right))


def words(text: str) -> list[str]:
    """The words that count: lower case, without punctuation ("U.S." is "us"), then without
    articles. Beyond SQuAD, each Han character or kana is a word, and of a text that has such the
    full-width forms and the punctuation of all scripts count as the ASCII ones do."""
    plain = text.lower()
    if _IDEOGRAPH.search(plain):
        plain = unicodedata.normalize("NFKC", plain)
        plain = "".join(sign for sign in plain if unicodedata.category(sign)[0] != "P")
        plain = _IDEOGRAPH.sub(r" \1 ", plain)
    return _ARTICLES.sub(" ", plain.translate(_DELETED)).split()


def _golds(right: Sequence[tuple[str, int]]) -> list[list[str]]:
    """The words of each right answer that has any; else that nothing is said is right."""
    return [gold for gold in (words(text) for text, _ in right) if gold] or [[]]


def _f1(found: Counter[str], gold: Counter[str]) -> float:
    whole = found.total() + gold.total()
    return 2 * (found & gold).total() / whole if whole else 1.0
