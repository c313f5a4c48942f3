"""Text classification: one label a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freehold.tasks.choice import Choice
from freehold.tasks.roles import LABEL, TEXT
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import Example

__all__ = ["TASK", "TextClassification"]


class TextClassification(Choice):
    kind = "text-classification"
    roles = (TEXT, LABEL)

    def example(self, row: int, values: Mapping[str, Any]) -> Example:
        return Example(row, values["text"], values.get("label"))

    def encode(self, tokeniser: Tokeniser, inputs: Sequence[str]) -> list[Encoded]:
        return tokeniser.texts(inputs)


TASK = TextClassification()
