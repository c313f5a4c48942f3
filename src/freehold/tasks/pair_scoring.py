"""Pair scoring: a number for two texts (how alike they are, how well one answers the other)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.tasks.base import Form
from freehold.tasks.numbers import Number
from freehold.tasks.pairs import pairs_of
from freehold.tasks.roles import SCORE, TEXT_A, TEXT_B
from freehold.tasks.similarity import is_comparison, source_and_sentences
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import PairExample

__all__ = ["TASK", "PairScoring"]


class PairScoring(Number):
    kind = "pair-scoring"
    roles = (TEXT_A, TEXT_B, SCORE)
    pairs = True

    def example(self, row: int, values: Mapping[str, Any]) -> PairExample:
        return PairExample(row, values["text_a"], values["text_b"], score=values.get("score"))

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[tuple[str, str]]) -> list[Encoded]:
        return tokeniser.pairs(inputs)

    def inputs(self, given: Any) -> tuple[list[Any], Form]:
        """Pairs, or a source sentence with those it is compared with (one pair each)."""
        if is_comparison(given):
            source, sentences = source_and_sentences(given)
            return [(source, sentence) for sentence in sentences], "comparison"
        return pairs_of(given)

    def render(self, answers: Sequence[Any], parameters: Any, *, form: Form) -> Any:
        """A list of numbers, one a pair, as sentence-similarity has it."""
        return [answer.score for answer in answers]


TASK = PairScoring()
