"""Pair classification: one label for two texts (do both ask the same? is one implied?)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.tasks.base import Form
from freehold.tasks.choice import Choice
from freehold.tasks.pairs import PAIRS
from freehold.tasks.roles import LABEL, TEXT_A, TEXT_B
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import PairExample
from freehold.tasks.zero_shot import ByEntailment

__all__ = ["TASK", "PairClassification"]


class PairClassification(Choice):
    kind = "pair-classification"
    roles = (TEXT_A, TEXT_B, LABEL)
    pairs = True
    columns = ("text", "text_pair")
    wire = PAIRS
    zero_shot = ByEntailment()

    def example(self, row: int, values: Mapping[str, Any]) -> PairExample:
        return PairExample(row, values["text_a"], values["text_b"], label=values.get("label"))

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[tuple[str, str]]) -> list[Encoded]:
        return tokeniser.pairs(inputs)

    def inputs(self, given: Any) -> tuple[list[Any], Form]:
        found, form = super().inputs(given)
        return [(pair.text, pair.text_pair) for pair in found], form


TASK = PairClassification()
