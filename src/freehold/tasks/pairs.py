"""What the tasks share whose input is two texts."""

from __future__ import annotations

from typing import Any

from freehold.errors import InputError
from freehold.tasks.base import Form

__all__ = ["pairs_of"]

_HINT = 'Send {"inputs": {"text": "…", "text_pair": "…"}} or a list of such.'


def pairs_of(
    given: Any, names: tuple[str, str] = ("text", "text_pair"), hint: str = _HINT
) -> tuple[list[tuple[str, str]], Form]:
    """The pairs in the "inputs" of a request, each an object with these two names, and their form.
    Raises InputError."""
    if isinstance(given, dict):
        return [_pair(given, "inputs", names, hint)], "single"
    if not isinstance(given, list):
        raise InputError("inputs is neither a pair of texts nor a list of such.", hint=hint)
    return [_pair(one, f"inputs[{n}]", names, hint) for n, one in enumerate(given)], "list"


def _pair(given: Any, where: str, names: tuple[str, str], hint: str) -> tuple[str, str]:
    if not isinstance(given, dict):
        raise InputError(f"{where} is not an object with {' and '.join(names)}.", hint=hint)
    if unknown := sorted(set(given) - set(names)):
        raise InputError(f"{where} has a field {unknown[0][:80]!r} that is not known.", hint=hint)
    for name in names:
        if not isinstance(given.get(name), str):
            raise InputError(f"{where}.{name} is missing or not a text.", hint=hint)
    return given[names[0]], given[names[1]]
