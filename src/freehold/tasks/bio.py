"""BIO tags: which are valid, what IOB1 becomes, which entities they mark.

BIO (also called IOB2) begins every entity with `B-X`; IOB1, in which CoNLL-2003 was published,
only one that touches another of its type (Tjong Kim Sang and Veenstra 1999, "Representing text
chunks", section 2.1).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["OUTSIDE", "best_tags", "entities", "is_iob1", "is_tag", "parts", "to_bio"]

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")
_PREFIXES = ("B", "I", "E", "S")  # BIO, and the end and single marks of BIOES
_UNTYPED = "_"  # the type of a bare "B" or "I", as seqeval names it


def is_tag(tag: str) -> bool:
    """Whether `tag` is "O", "B-X" or "I-X"."""
    return _TAG.fullmatch(tag) is not None


def parts(tag: str) -> tuple[str, str]:
    """Prefix and type of any tag; "O" has none, and one without a prefix counts as inside."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, kind = tag.partition("-")
    if prefix not in _PREFIXES:
        return "I", tag
    return prefix, kind if dash and kind else _UNTYPED


def is_iob1(sentences: Sequence[Sequence[str]]) -> bool:
    """Whether the tags are consistent IOB1 and not BIO: some entity begins with `I-X`, and a `B-X`
    stands only directly after a word of its own type."""
    orphan = False
    for tags in sentences:
        before = OUTSIDE
        for tag in tags:
            if tag[0] == "B" and before[2:] != tag[2:]:
                return False
            orphan = orphan or (tag[0] == "I" and before[2:] != tag[2:])
            before = tag
    return orphan


def to_bio(tags: Sequence[str]) -> tuple[str, ...]:
    """An `I-X` that begins an entity becomes `B-X`: IOB1 -> BIO, and BIO stays as it is."""
    before = OUTSIDE
    changed: list[str] = []
    for tag in tags:
        begins = tag[0] == "I" and before[2:] != tag[2:]
        changed.append("B" + tag[1:] if begins else tag)
        before = tag
    return tuple(changed)


def entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(type, first word, word after the last) of each entity of a valid BIO sequence."""
    found: list[tuple[str, int, int]] = []
    start: int | None = None
    for place, tag in enumerate([*tags, OUTSIDE]):
        if start is not None and tag[0] != "I":
            found.append((tags[start][2:], start, place))
            start = None
        if tag[0] == "B":
            start = place
    return found


def best_tags(logits: NDArray[Any], labels: Sequence[str]) -> NDArray[np.int64]:
    """(words,) numbers of the likeliest tags that make a valid sequence, of (words, labels).

    The words are taken as independent but for one rule: an `I-X` follows a `B-X` or an `I-X`. Where
    the best tag of each word obeys it already, those are the answer; else the best path is found
    (Viterbi 1967, "Error bounds for convolutional codes").
    """
    chosen: NDArray[np.int64] = logits.argmax(1)
    begins, follows = _rules(tuple(labels))
    if not len(chosen) or (begins[chosen[0]] and follows[chosen[:-1], chosen[1:]].all()):
        return chosen
    steps = np.where(follows, 0.0, -np.inf)
    sums = np.where(begins, logits[0].astype(np.float64), -np.inf)
    befores = []
    for row in logits[1:]:
        paths = sums[:, None] + steps
        before = paths.argmax(0)
        befores.append(before)
        sums = paths[before, np.arange(len(labels))] + row
    path = [int(sums.argmax())]
    for before in reversed(befores):
        path.append(int(before[path[-1]]))
    return np.array(path[::-1], np.int64)


@functools.lru_cache(maxsize=64)
def _rules(labels: tuple[str, ...]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(labels,) which may begin a sentence, and (labels, labels) which may follow which. An `I-X`
    without any `B-X` among the labels follows nothing and is left free."""
    known = {label for label in labels if label.startswith("B-")}
    bound = [one.startswith("I-") and f"B-{one[2:]}" in known for one in labels]
    follows = [
        [not bound[j] or (before[2:] == after[2:] and before != OUTSIDE)
         for j, after in enumerate(labels)]
        for before in labels
    ]  # fmt: skip
    return ~np.array(bound), np.array(follows)
