"""Sheets that a person corrects in a spreadsheet: CSV whose cells run nothing there.

A cell that begins with = + - @, a tab or a carriage return would be taken for a formula (OWASP,
"CSV Injection"); it gets an apostrophe before it, as does one that begins with an apostrophe
itself, so that reading a sheet gives back what was written.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from freehold.data.delimited import read_delimited
from freehold.data.encoding import decode
from freehold.data.table import Table
from freehold.errors import DataError
from freehold.store.files import write_bytes

__all__ = ["read_sheet", "safe", "unsafe", "write_sheet"]

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "'")
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"  # by which spreadsheets know UTF-8


def safe(text: str) -> str:
    """The text as a cell that no spreadsheet computes."""
    return f"'{text}" if text.startswith(_DANGEROUS) else text


def unsafe(cell: str) -> str:
    """The text that `safe` was given; a cell that a spreadsheet wrote without the apostrophe is
    what it says."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_DANGEROUS) else cell


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Whole or not at all; numbers as they are, texts made safe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        values = [row[column] for column in columns]
        writer.writerow([safe(v) if isinstance(v, str) else v for v in values])
    write_bytes(path, (_BOM + text.getvalue()).encode())


def read_sheet(path: Path, needed: Sequence[str]) -> Table:
    """The sheet's columns of texts. Raises DataError where it lacks a column that is needed, or is
    no CSV."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    decoded = decode(data, path)
    table = read_delimited(decoded.text, path, decoded.encoding, "csv", frozenset(needed))
    for column in needed:
        if column not in table.columns:
            raise DataError(
                f"{path} has no column {column!r}.",
                hint="Give the sheet that `freehold data review` wrote, with your corrections.",
            )
    columns = {
        name: [unsafe(str(value)) for value in values] for name, values in table.columns.items()
    }
    return Table(table.path, table.format, table.encoding, columns, table.rows, table.notes)
