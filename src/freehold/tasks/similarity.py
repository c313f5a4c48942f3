"""The sentence-similarity contract: one sentence, and those that it is compared with."""

from __future__ import annotations

from typing import Any

from freehold.errors import InputError

__all__ = ["is_comparison", "source_and_sentences"]

_HINT = 'Send {"inputs": {"source_sentence": "…", "sentences": ["…", "…"]}}.'


def is_comparison(given: Any) -> bool:
    return isinstance(given, dict) and ("source_sentence" in given or "sentences" in given)


def source_and_sentences(given: dict[str, Any]) -> tuple[str, list[str]]:
    """Raises InputError."""
    source, sentences = given.get("source_sentence"), given.get("sentences")
    if not isinstance(source, str):
        raise InputError("inputs.source_sentence is missing or not a text.", hint=_HINT)
    if not isinstance(sentences, list) or not all(isinstance(one, str) for one in sentences):
        raise InputError("inputs.sentences is missing or not a list of texts.", hint=_HINT)
    if not sentences:
        raise InputError("inputs.sentences is an empty list.", hint=_HINT)
    if unknown := sorted(set(given) - {"source_sentence", "sentences"}):
        raise InputError(f"inputs has a field {unknown[0][:80]!r} that is not known.", hint=_HINT)
    return source, sentences
