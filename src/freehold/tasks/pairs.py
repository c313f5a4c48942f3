"""What the tasks share whose input is two texts."""

from __future__ import annotations

import msgspec

from freehold.tasks.shapes import LabelScore, Wire

__all__ = ["PAIR", "PAIRS", "Pair"]


class Pair(msgspec.Struct, forbid_unknown_fields=True):
    """Two texts."""

    text: str
    text_pair: str


PAIR = {"text": "how do I get a new card", "text_pair": "my card is lost"}

PAIRS = Wire(
    one=Pair,
    answers=(list[list[LabelScore]],),
    examples=((PAIR, [[{"label": "same", "score": 0.81}]]),),
)
