"""The sentence-similarity contract: one sentence, and those that it is compared with."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

__all__ = ["COMPARISON", "Comparison", "is_comparison"]


class Comparison(msgspec.Struct, forbid_unknown_fields=True):
    """A text, and those that it is compared with; together no more than a request may hold."""

    source_sentence: str
    sentences: Annotated[list[str], Meta(min_length=1)]


COMPARISON = {
    "source_sentence": "where is my card",
    "sentences": ["my card is lost", "the rate is too low"],
}


def is_comparison(given: Any) -> bool:
    return isinstance(given, dict) and ("source_sentence" in given or "sentences" in given)
