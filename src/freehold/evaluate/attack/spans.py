"""Where in an attacked text the changed words stand, to mark them."""

from __future__ import annotations

from collections.abc import Iterator

from freehold.evaluate.attack.search import Attempt

__all__ = ["marked"]

SHOWN = 400  # characters; a longer text is shown up to there


def marked(attempt: Attempt) -> Iterator[tuple[str, bool]]:
    """The attacked text in parts, each with whether it is a changed word; spaces are kept."""
    at = 0
    for change, (begin, end) in zip(attempt.changes, attempt.places, strict=True):
        if end > SHOWN:
            break
        if begin > at:
            yield attempt.text[at:begin], False
        yield change.after, True
        at = end
    if at < len(attempt.text):
        rest = attempt.text[at : max(at, SHOWN)]
        yield rest + ("…" if len(attempt.text) > SHOWN else ""), False
