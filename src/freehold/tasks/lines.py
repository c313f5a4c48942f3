"""Line breaks between the words of a text: where a sentence, a line or a paragraph ends.

Words alone do not say it, and who tags a text wants to know (a headline, then a sentence; a name at
the end of one line, another at the start of the next). A break is the number of the word that it
stands before; among words it is written as a word of its own, "\\n", and to an encoder it is shown
as the token that separates two texts ([SEP], </s>).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["LINE", "breaks_between", "mark_of", "with_lines", "without_lines"]

LINE = "\n"


def with_lines(words: Sequence[str], breaks: Sequence[int], line: str = LINE) -> tuple[str, ...]:
    """The words with `line` before each of the words in `breaks` (in rising order)."""
    if not breaks:
        return tuple(words)
    found: list[str] = []
    start = 0
    for place in breaks:
        found += words[start:place]
        found.append(line)
        start = place
    return (*found, *words[start:])


def without_lines(words: Sequence[str]) -> tuple[list[int], tuple[int, ...]]:
    """Which of `words` are words, and the breaks between them; those at either end, and all but one
    of several in a row, say nothing."""
    kept: list[int] = []
    breaks: list[int] = []
    for number, word in enumerate(words):
        if word != LINE:
            kept.append(number)
        elif kept and (not breaks or breaks[-1] != len(kept)):
            breaks.append(len(kept))
    if breaks and breaks[-1] == len(kept):
        breaks.pop()
    return kept, tuple(breaks)


def breaks_between(text: str, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The breaks of a text whose words are `spans` (rising character spans) of it."""
    if LINE not in text:
        return ()
    ends = [end for _, end in spans]
    return tuple(
        number
        for number, (start, _) in enumerate(spans[1:], start=1)
        if LINE in text[ends[number - 1] : start]
    )


def mark_of(tokenizer: Tokenizer) -> str | None:
    """The token by which this tokenizer ends a text, as it can be written among words; None where
    it ends a text by none, or does not know it there."""
    text = tokenizer.encode("a")
    if not text.special_tokens_mask or not text.special_tokens_mask[-1]:
        return None
    mark = str(text.tokens[-1])
    among = tokenizer.encode(["a", mark, "a"], is_pretokenized=True, add_special_tokens=False)
    known = [token for token, word in zip(among.tokens, among.word_ids, strict=True) if word == 1]
    return mark if known == [mark] else None
