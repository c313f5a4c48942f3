"""Fonts of printed documents: each run of a text gets the first font that has its characters.

Helvetica in four encodings for the Latin of Europe and Turkey, and the standard Asian fonts for
Chinese, Japanese, Greek, Cyrillic and Korean. All are named and not embedded: documents are small
and the same bytes on every machine, and the viewer brings the shapes. What no font has is printed
as a question mark.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from xml.sax.saxutils import escape

from reportlab.lib.fonts import addMapping
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont

__all__ = ["BOLD", "REGULAR", "markup", "width"]

REGULAR, BOLD = "Helvetica", "Helvetica-Bold"
# Western first: it is what the library's own Helvetica is encoded in.
_WESTERN, _EUROPE = "cp1252", ("cp1250", "cp1257", "cp1254")
_ASIA = (("gbk", "STSong-Light"), ("cp949", "HYSMyeongJo-Medium"))

# Glyphs have the names of the Adobe Glyph List: a letter's, then its accent's.
_ACCENTS = {
    0x300: "grave", 0x301: "acute", 0x302: "circumflex", 0x303: "tilde", 0x304: "macron",
    0x306: "breve", 0x307: "dotaccent", 0x308: "dieresis", 0x30A: "ring", 0x30B: "hungarumlaut",
    0x30C: "caron", 0x326: "commaaccent", 0x327: "commaaccent", 0x328: "ogonek",
}  # fmt: skip
_NAMED = {"Đ": "Dcroat", "đ": "dcroat", "Ł": "Lslash", "ł": "lslash", "ı": "dotlessi",
          "Ş": "Scedilla", "ş": "scedilla", "Ç": "Ccedilla", "ç": "ccedilla"}  # fmt: skip
# Thousandths of an em where an accent widens its letter, regular and bold.
_WIDER = {"dcaron": (643, 743), "lcaron": (299, 400), "tcaron": (317, 389)}


def markup(text: str, base: str = REGULAR) -> str:
    """The text as a paragraph's markup, escaped, each run in its font."""
    return "".join(
        escape(run) if font == base else f'<font name="{font}">{escape(run)}</font>'
        for font, run in _runs(text, base)
    ).replace("\n", "<br/>")


def width(text: str, size: float, base: str = REGULAR) -> float:
    """Points that a text takes in one line."""
    return sum(float(pdfmetrics.stringWidth(run, font, size)) for font, run in _runs(text, base))


def _runs(text: str, base: str) -> Iterator[tuple[str, str]]:
    for font, characters in groupby(text, lambda character: _font_of(character, base)):
        run = "".join(characters)
        yield (font, run) if font else (base, "?" * len(run))


@cache
def _font_of(character: str, base: str) -> str | None:
    _register()
    if character == "\n" or _encodes(character, _WESTERN):
        return base
    for encoding in _EUROPE:
        if _glyph(character) and _encodes(character, encoding):
            return f"{base}-{encoding}"
    return next((font for encoding, font in _ASIA if _encodes(character, encoding)), None)


def _encodes(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _register() -> None:
    for _, font in _ASIA:
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    for codepage in _EUROPE:
        encoding = pdfmetrics.Encoding(codepage, "WinAnsiEncoding")
        accented = {}
        for code in range(0x80, 0x100):
            letter = bytes([code]).decode(codepage, errors="ignore")
            if name := _glyph(letter):
                encoding[code] = name
                accented[code] = (letter, name)
        pdfmetrics.registerEncoding(encoding)
        for number, base in enumerate((REGULAR, BOLD)):
            font = pdfmetrics.Font(f"{base}-{codepage}", base, codepage)
            for code, (letter, name) in accented.items():
                plain = unicodedata.normalize("NFD", letter)[0]
                plain = {"Đ": "D", "đ": "d", "ı": "i"}.get(plain, plain)
                known = font.widths[code] or font.widths[ord(plain) if ord(plain) < 128 else code]
                font.widths[code] = _WIDER[name][number] if name in _WIDER else known
            pdfmetrics.registerFont(font)
            addMapping(font.fontName, 0, 0, font.fontName)


def _glyph(letter: str) -> str | None:
    """A Latin letter's glyph name: zacute for ź; None for anything that is not one."""
    if letter in _NAMED:
        return _NAMED[letter]
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha():
        accent = _ACCENTS.get(ord(parts[1]))
        return parts[0] + accent if accent else None
    return None
