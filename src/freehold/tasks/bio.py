"""BIO tags: which are valid, what IOB1 becomes, which entities they mark.

BIO (also called IOB2) begins every entity with `B-X`; IOB1, in which CoNLL-2003 was published,
only one that touches another of its type (Tjong Kim Sang and Veenstra 1999, "Representing text
chunks", section 2.1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["OUTSIDE", "entities", "is_iob1", "is_tag", "to_bio"]

OUTSIDE = "O"
_TAG = re.compile(r"O|[BI]-\S+")


def is_tag(tag: str) -> bool:
    """Whether `tag` is "O", "B-X" or "I-X"."""
    return _TAG.fullmatch(tag) is not None


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
