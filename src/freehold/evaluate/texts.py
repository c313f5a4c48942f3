"""Texts of the data made fit to show: one line, short, and nothing a terminal would obey."""

from __future__ import annotations

__all__ = ["around", "excerpt", "printable"]

_UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """`text` on one line: runs of white space become one space, and what does not print (escapes,
    marks that turn the direction of writing, lone surrogates) a replacement character."""
    return "".join(c if c.isprintable() else _UNPRINTABLE for c in " ".join(text.split()))


def excerpt(text: str, length: int = 200) -> str:
    """The printable beginning of `text`, at most `length` characters with the ellipsis."""
    shown = printable(text[: 4 * length])
    if len(shown) <= length and len(text) <= 4 * length:
        return shown
    return shown[: length - 1].rstrip() + "…"


def around(words: tuple[str, ...], position: int, length: int = 200) -> tuple[str, int, int]:
    """The words about `position` as one printable text of about `length` characters, and where in
    it that word begins and ends."""
    word = excerpt(words[position], length)
    room = length - len(word)
    before: list[str] = []
    after: list[str] = []
    first, last = position, position + 1
    while room > 0 and (first > 0 or last < len(words)):
        if first > 0:
            first -= 1
            before.insert(0, excerpt(words[first], length))
            room -= len(before[0]) + 1
        if last < len(words) and room > 0:
            after.append(excerpt(words[last], length))
            room -= len(after[-1]) + 1
            last += 1
    head = "".join(f"{one} " for one in (["…"] if first else []) + before)
    tail = "".join(f" {one}" for one in after + (["…"] if last < len(words) else []))
    return head + word + tail, len(head), len(head) + len(word)
