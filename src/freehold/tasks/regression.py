"""Regression: a number for a text (a grade, a rating, a risk)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.tasks.numbers import Number
from freehold.tasks.roles import SCORE, TEXT
from freehold.tasks.shapes import LabelScore, Wire
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import ScoredExample

__all__ = ["TASK", "Regression"]


class Regression(Number):
    kind = "regression"
    roles = (TEXT, SCORE)
    wire = Wire(
        one=str,
        answers=(list[list[LabelScore]],),
        examples=(("the service was slow", [[{"label": "score", "score": 2.4}]]),),
    )

    def example(self, row: int, values: Mapping[str, Any]) -> ScoredExample:
        return ScoredExample(row, values["text"], values.get("score"))

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[str]) -> list[Encoded]:
        return tokeniser.texts(inputs)


TASK = Regression()
