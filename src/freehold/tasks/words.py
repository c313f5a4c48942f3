"""Raw text -> words: the one way a text is split before a tagging model sees it.

Training files bring their own words; what a customer sends has none. Both must look alike, so the
splitter follows the newswire corpora: a chunk between spaces is a word, its punctuation at the ends
is split off, and marks inside it stay ("1996-08-22", "AC/DC", "don't").
"""

from __future__ import annotations

import functools
import re
import unicodedata

__all__ = ["IDEOGRAPHS", "split_words"]

# Han (with its iteration mark and zero) and kana: written without spaces, each its own word.
IDEOGRAPHS = (
    "\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
# Their punctuation splits anywhere, as no space follows it: brackets, full-width forms.
_WIDE_MARKS = (
    "\u3001-\u3004\u3008-\u3020\u3030\u303d\u30a0\u30fb"
    "\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
# What belongs to the character before it: accents, voicing marks, emoji variants and skin tones.
_ATTACHED = (
    "\u0300-\u036f\u20d0-\u20ff\u3099\u309a\ufe00-\ufe0f\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef"
)
_JOINER = "\u200d"
_CAPITALS = "A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0410-\u042f"
_PAST_SYMBOLS = 0x20000  # no punctuation or symbol is assigned beyond the second plane


def split_words(text: str) -> list[tuple[int, int]]:
    """Character spans [start, end) of the words of `text`, in order and without overlap.

    Every character that is not whitespace is in exactly one span. A full stop stays with an
    abbreviation that has stops inside ("U.S.", "a.m.") and with a lone capital that more text
    follows ("J. Smith": in CoNLL-2003's training part 279 of 280 such stops are not split off).
    Runs of one mark ("...", "--") are one word. Linear in the length of the text.
    """
    return [match.span() for match in _pattern().finditer(text)]


@functools.cache
def _pattern() -> re.Pattern[str]:
    """One regex, compiled at the first use: scanning the categories takes some milliseconds."""
    marks = _punctuation()
    core = rf"[^\s{marks}{IDEOGRAPHS}{_WIDE_MARKS}]"
    inner = rf"[^\s{IDEOGRAPHS}{_WIDE_MARKS}]"
    mark = rf"[{marks}]"
    letter = r"[^\W\d_]"
    attached = rf"[{_ATTACHED}]*"
    return re.compile(
        "|".join(
            (
                rf"[{IDEOGRAPHS}]{attached}",
                # an abbreviation with inner stops, when only marks follow it in its chunk
                rf"{letter}{{1,2}}(?:\.{letter}{{1,3}})+\.(?!{mark}*{core})",
                # a lone capital with its stop, when more text follows
                rf"[{_CAPITALS}]\.(?=\s+\S)",
                rf"{core}(?:{inner}*{core})?",
                r"([.\-=*_~#\u2013\u2014\u2026])\1+",
                rf"\S{attached}(?:{_JOINER}\S{attached})*",
            )
        )
    )


def _punctuation() -> str:
    """The inside of a character class: every punctuation mark and symbol (categories P*, S*)."""
    found: list[str] = []
    start: int | None = None
    for code in range(_PAST_SYMBOLS + 1):
        inside = code < _PAST_SYMBOLS and unicodedata.category(chr(code))[0] in "PS"
        if inside and start is None:
            start = code
        elif not inside and start is not None:
            found.append(f"\\U{start:08x}-\\U{code - 1:08x}")
            start = None
    return "".join(found)
