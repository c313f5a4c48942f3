"""Bytes -> text: the encoding is found, named, and never guessed silently.

Unicode with a byte order mark, then UTF-8, then GB18030 where the text is plainly Chinese, then
Windows' Western code page where the text is plainly Western European, then what charset-normalizer
is sure of. Anything else is refused with the place of the first byte that does not fit.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from freehold.errors import DataError

__all__ = ["Decoded", "decode"]

_STRAY = re.compile("[\udc80-\udcff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
_SAVE_AS_UTF8 = "Save the file as UTF-8 (in a spreadsheet: “CSV UTF-8”) and try again."

# The four-byte mark begins with the two-byte one, so it is looked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# What begins a file that is no text, and the sentence about it.
_BINARY = (
    (b"PK\x03\x04", "is a zip archive or an Excel workbook", "Name a workbook .xlsx."),
    (b"PAR1", "is a Parquet file", "Name it .parquet."),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook", "Save it as .xlsx or CSV."),
    (b"\x1f\x8b", "is compressed with gzip", "Unpack it first: gunzip FILE."),
    (b"%PDF", "is a PDF document", "Export its table as CSV."),
)


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text, the codec that read it, and a remark where the codec was concluded."""

    text: str
    encoding: str
    note: str | None = None


def decode(data: bytes, path: Path) -> Decoded:
    """The text of `data`, without a byte order mark; line ends are kept as they are.

    Raises DataError, naming the line and byte, when the bytes are no text, or broken text, or in
    an encoding that cannot be told with confidence.
    """
    for mark, codec in _MARKS:
        if data.startswith(mark):
            return Decoded(_unicode(data[len(mark) :], codec, path, len(mark)), codec)
    _refuse_binary(data, path)
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        first = error
    loose = data.decode("utf-8", "surrogateescape")
    strays = len(_STRAY.findall(loose))
    if len(_NOT_ASCII.findall(loose)) - strays > strays:
        raise DataError(
            f"{path}, line {_line(data, first.start)}: the byte 0x{data[first.start]:02X} at "
            f"offset {first.start:,} is not valid UTF-8, though the rest of the file is UTF-8 "
            f"({strays:,} such byte{'s' if strays > 1 else ''}).",
            hint="Two encodings were mixed or the file was cut off: export it again as UTF-8.",
        )
    found = _chinese(data) or _western(data) or _detected(data)
    if found is None:
        raise DataError(
            f"{path}, line {_line(data, first.start)}: the byte 0x{data[first.start]:02X} at "
            f"offset {first.start:,} is not UTF-8, and no other encoding fits well enough.",
            hint=_SAVE_AS_UTF8,
        )
    return found


def _unicode(data: bytes, codec: str, path: Path, skipped: int) -> str:
    """Decode what follows a byte order mark."""
    try:
        text = data.decode("utf-8" if codec == "utf-8-sig" else codec)
    except UnicodeDecodeError as error:
        whole = data[: error.start].decode(codec.removesuffix("-sig"), "replace")
        raise DataError(
            f"{path}, line {whole.count(chr(10)) + 1}: broken {codec.removesuffix('-sig').upper()} "
            f"at byte offset {error.start + skipped:,} ({error.reason}).",
            hint="The file was cut off or mixes encodings; export it again as UTF-8.",
        ) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise DataError(
            f"{path}, line {line}: there is a NUL character in the text.",
            hint="Remove it, or export the file again.",
        )
    return text


def _refuse_binary(data: bytes, path: Path) -> None:
    for magic, what, hint in _BINARY:
        if data.startswith(magic):
            raise DataError(f"{path} {what}, not a text file.", hint=hint)
    offset = data.find(b"\x00")
    if offset < 0:
        return
    head = data[:4096]
    if max(head[0::2].count(0), head[1::2].count(0)) > 0.45 * len(head):
        raise DataError(
            f"{path} looks like UTF-16 without its byte order mark.", hint=_SAVE_AS_UTF8
        )
    raise DataError(
        f"{path}, line {_line(data, offset)}: there is a NUL byte at offset {offset:,}; "
        "this is a binary file, not text.",
        hint="Give a CSV, TSV, JSON Lines, CoNLL, Parquet or XLSX file.",
    )


def _line(data: bytes, offset: int) -> int:
    return data.count(b"\n", 0, offset) + 1


# The most frequent characters of written Chinese: a quarter of any text, and hardly ever what
# Korean, Japanese or Western bytes turn into when they are read as GB18030 by mistake.
_COMMON_HAN = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
    "用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想"
)


def _chinese(data: bytes) -> Decoded | None:
    """GB18030, if its bytes are almost all simplified-Chinese pairs and the text reads so."""
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        return None
    counts = Counter(_NOT_ASCII.findall(text))
    total = sum(counts.values())
    # GB2312's own pairs have two high bytes; Western text gives pairs of a high and a low byte.
    pairs = sum(n for sign, n in counts.items() if min(sign.encode("gb18030")[:2]) >= 0xA1)
    han = sum(n for sign, n in counts.items() if "\u4e00" <= sign <= "\u9fff")
    kana = sum(n for sign, n in counts.items() if "\u3041" <= sign <= "\u30ff")
    common = sum(counts[sign] for sign in _COMMON_HAN)
    if pairs < 0.9 * total or han < 0.5 * total or kana > 0.05 * total or common < 0.05 * han:
        return None
    return Decoded(
        text, "gb18030", "read as GB18030: its bytes are not UTF-8 and give Chinese text"
    )


_WESTERN = frozenset(
    "àâäáãåæçéèêëíìîïñóòôöõøœúùûüßÿÀÂÄÁÃÅÆÇÉÈÊËÍÌÎÏÑÓÒÔÖÕØŒÚÙÛÜ"
    "’‘“”„‚–—…€£¥°«»‹›¿¡§®©™²³½¼¾·•×±µªº´¨\xa0\xad"
)
_ACCENTED_RUN = re.compile("[À-ÖØ-öø-ÿ]{3,}")
_SIGN_IN_WORD = re.compile(r"[A-Za-z][€£¥°¿¡§®©²³½¼¾·•×±¹ªº´¨][A-Za-z]")


def _western(data: bytes) -> Decoded | None:
    """Windows-1252, of which Latin-1 is a part, if nearly all its signs are Western European."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    signs = Counter(_NOT_ASCII.findall(text))
    total = sum(signs.values())
    letters = sum(sign.isalpha() for sign in text)
    foreign = sum(n for sign, n in signs.items() if sign not in _WESTERN)
    accented = sum(n for sign, n in signs.items() if sign.isalpha())
    # Greek or Cyrillic bytes would make whole words of accented letters.
    runs = sum(len(run) for run in _ACCENTED_RUN.findall(text))
    if foreign > 0.02 * total or accented > 0.4 * letters or runs > 0.05 * total:
        return None
    if len(_SIGN_IN_WORD.findall(text)) > 0.02 * total:
        return None
    return Decoded(
        text,
        "cp1252",
        "read as Windows-1252 (or Latin-1): its bytes are not UTF-8 and fit Western European "
        "text; look at an accented word, and save as UTF-8 if it is wrong",
    )


# Codecs that charset-normalizer tells apart well, and the languages that confirm each.
_DETECTABLE = {
    "cp932": "Japanese",
    "euc_jp": "Japanese",
    "cp949": "Korean",
    "big5": "Chinese",
    "cp1251": "Russian",
}
_SAMPLE = 200_000


def _detected(data: bytes) -> Decoded | None:
    """What charset-normalizer is sure of: one of few codecs, hardly any mess, the right script."""
    from charset_normalizer import from_bytes

    cut = data.rfind(b"\n", 0, _SAMPLE) + 1 if len(data) > _SAMPLE else len(data)
    matches = from_bytes(data[: cut or _SAMPLE], cp_isolation=list(_DETECTABLE), threshold=0.1)
    best = matches.best()
    if best is None or best.chaos > 0.05 or best.encoding not in _DETECTABLE:
        return None
    try:
        text = data.decode(best.encoding)
    except UnicodeDecodeError:
        return None
    if not _script_fits(text, _DETECTABLE[best.encoding]):
        return None
    return Decoded(
        text,
        best.encoding,
        f"read as {best.encoding}: its bytes are not UTF-8 and fit "
        f"{_DETECTABLE[best.encoding]} text; save as UTF-8 if it looks wrong",
    )


_SCRIPTS = {
    "Japanese": re.compile("[\u3041-\u30ff]"),
    "Korean": re.compile("[\uac00-\ud7a3]"),
    "Chinese": re.compile("[的是不了在人有我他這個們中來上大為和]"),
    "Russian": re.compile("[оеаинтсрвл]"),
}
_SHARE = {"Japanese": 0.3, "Korean": 0.8, "Chinese": 0.05, "Russian": 0.55}


def _script_fits(text: str, language: str) -> bool:
    signs = len(_NOT_ASCII.findall(text))
    return len(_SCRIPTS[language].findall(text)) >= _SHARE[language] * signs
