"""Entities out of tags: where each begins and ends, by the rules of the CoNLL-2003 scorer.

The rules are those of `conlleval` (Tjong Kim Sang and De Meulder 2003, "Introduction to the
CoNLL-2003 shared task", section 2.4), which are seqeval's too when it is given no scheme: an
`I-X` that follows no entity of type X begins one, rather than being ignored as the strict IOB2
scheme would have it. A model that forgets a `B-` is then charged for wrong borders only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from freehold.tasks.bio import OUTSIDE, parts

__all__ = ["IntArray", "Spans", "entity_type", "find_spans"]

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spans:
    """The entities of many sentences laid end to end; at most one begins at a word.

    All three arrays have shape (entities,): the flat index of the first and of the last word, and
    the index of the type.
    """

    start: IntArray
    end: IntArray
    type: IntArray


def entity_type(tag: str) -> str | None:
    """The type a tag names: "PER" for "B-PER", None for "O", itself for a tag without a prefix."""
    return parts(tag)[1] or None


def find_spans(
    tags: IntArray, sentences: IntArray, names: Sequence[str], types: Sequence[str]
) -> Spans:
    """The entities in `tags` (words,), indices into `names`; an entity never crosses a sentence.

    `sentences` (words,) holds each word's sentence, in ascending order; `types` the entity types by
    index, at least those of the tags that occur.
    """
    known = [parts(name) for name in names]
    index = {kind: position for position, kind in enumerate(types)}
    prefix = np.array([p for p, _ in known])[tags]
    kind = np.array([index.get(k, -1) if k else -1 for _, k in known], dtype=np.int64)[tags]
    inside = prefix != OUTSIDE
    # a word goes on with the entity before it unless one of these breaks it
    goes_on = np.zeros(len(tags), dtype=bool)
    goes_on[1:] = (
        inside[1:]
        & inside[:-1]
        & (sentences[1:] == sentences[:-1])
        & (kind[1:] == kind[:-1])
        & ~np.isin(prefix[1:], ("B", "S"))
        & ~np.isin(prefix[:-1], ("E", "S"))
    )
    first = inside & ~goes_on
    last = inside & ~np.append(goes_on[1:], False)[: len(tags)]
    start = np.flatnonzero(first)
    return Spans(start, np.flatnonzero(last), kind[start])
