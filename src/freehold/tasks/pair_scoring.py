"""Pair scoring: a number for two texts (how alike they are, how well one answers the other)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.tasks.base import Form
from freehold.tasks.numbers import Number
from freehold.tasks.pairs import PAIR, Pair
from freehold.tasks.roles import SCORE, TEXT_A, TEXT_B
from freehold.tasks.shapes import Wire, read
from freehold.tasks.similarity import COMPARISON, Comparison, is_comparison
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import PairExample

__all__ = ["TASK", "PairScoring"]


class PairScoring(Number):
    kind = "pair-scoring"
    roles = (TEXT_A, TEXT_B, SCORE)
    pairs = True
    columns = ("text", "text_pair")
    wire = Wire(
        one=Pair,
        whole=Comparison,
        answers=(list[float],),
        examples=((PAIR, [3.9]), (COMPARISON, [4.1, 0.3])),
    )

    def example(self, row: int, values: Mapping[str, Any]) -> PairExample:
        return PairExample(row, values["text_a"], values["text_b"], score=values.get("score"))

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[tuple[str, str]]) -> list[Encoded]:
        return tokeniser.pairs(inputs)

    def inputs(self, given: Any) -> tuple[list[Any], Form]:
        """Pairs, or a source sentence with those it is compared with (one pair each)."""
        if is_comparison(given):
            asked = read(given, Comparison, "inputs", self.wire.hint)
            return [(asked.source_sentence, other) for other in asked.sentences], "comparison"
        found, form = super().inputs(given)
        return [(pair.text, pair.text_pair) for pair in found], form

    def render(self, answers: Sequence[Any], parameters: Any, *, form: Form) -> list[float]:
        """A list of numbers, one a pair, as sentence-similarity has it."""
        return [answer.score for answer in answers]


TASK = PairScoring()
