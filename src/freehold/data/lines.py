"""Formats whose columns need no names: CoNLL columns, and plain text with one text a line."""

from __future__ import annotations

import re
from pathlib import Path

from freehold.data.table import Faults, Table
from freehold.errors import DataError
from freehold.tasks.bio import is_tag

__all__ = ["looks_like_conll", "read_conll", "read_lines"]

_SPACES = re.compile(r"[ \t]+")
_DOCUMENT = "-DOCSTART-"


def read_conll(
    text: str, path: Path, encoding: str, *, words: str | None, tags: str | None, labelled: bool
) -> Table:
    """Columns between spaces or tabs, a blank line between sentences; the word is in the first
    column and its tag in the last unless `words` and `tags` give other column numbers (from 1).
    Lines of -DOCSTART-, and comments ("# …" before a sentence), are skipped. Raises DataError."""
    sentences: list[list[list[str]]] = []
    rows: list[int] = []
    width = 0
    fresh = True
    comments = 0
    faults = Faults(path, "line")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            fresh = True
            continue
        fields = _fields(line)
        if fields[0] == _DOCUMENT:
            fresh = True
            continue
        if fresh and line.startswith("# ") and not is_tag(fields[-1]):
            comments += 1
            continue
        width = width or len(fields)
        if len(fields) != width:
            faults.add(
                number,
                "width",
                f"{len(fields)} columns where the lines before have {width}",
                "Each line is one word with the same columns; a blank line ends a sentence.",
            )
        if fresh:
            sentences.append([])
            rows.append(number)
        sentences[-1].append(fields)
        fresh = False
    faults.check()
    if not sentences:
        raise DataError(f"{path} is empty.", hint="Write one word and its tag a line.")
    first = _place(words, 0, width, path)
    columns: dict[str, list[object]] = {
        str(first + 1): [[fields[first] for fields in sentence] for sentence in sentences]
    }
    if labelled:
        last = _place(tags, width - 1, width, path)
        if last == first:
            raise DataError(
                f"{path}, line {rows[0]}: there is one column only, so the words have no tags.",
                hint="Write the tag after the word, as in: Paris B-LOC",
            )
        columns[str(last + 1)] = [[fields[last] for fields in sentence] for sentence in sentences]
    notes = (f"{comments:,} comment lines were skipped",) if comments else ()
    return Table(path, "conll", encoding, columns, rows, notes, fixed=True)


def _fields(line: str) -> list[str]:
    """Tabs separate if there are any, so that a word may hold a space; else spaces do."""
    line = line.rstrip("\r")
    if "\t" in line.strip():
        return [field.strip() for field in line.rstrip("\t").split("\t")]
    return _SPACES.split(line.strip())


def _place(given: str | None, default: int, width: int, path: Path) -> int:
    if given is None:
        return default
    if not given.isdecimal() or not 1 <= int(given) <= width:
        raise DataError(
            f'{path} has CoNLL columns without names, so there is no column "{given}".',
            hint=f"Give a number from 1 to {width}, or leave it out: first the word, last the tag.",
        )
    return int(given) - 1


def looks_like_conll(text: str) -> bool:
    """Whether the first lines are words with tags."""
    lines = [line for line in text[:20_000].split("\n")[:100] if line.strip()]
    if lines and lines[0].startswith(_DOCUMENT):
        return True
    fields = [_fields(line) for line in lines[:50]]
    fitting = sum(len(parts) > 1 and is_tag(parts[-1]) for parts in fields)
    return bool(fields) and fitting >= 0.9 * len(fields)


def read_lines(text: str, path: Path, encoding: str) -> Table:
    """One text a line. Blank lines count, so that answers stay beside their lines, but not at the
    end of the file. Raises DataError."""
    lines: list[object] = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")]
    if lines == [""]:
        raise DataError(f"{path} is empty.", hint="Write one text a line.")
    rows = range(1, len(lines) + 1)
    return Table(path, "txt", encoding, {"line": lines}, rows, fixed=True)
