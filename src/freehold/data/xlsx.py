"""An Excel workbook's first sheet -> a table."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from freehold.data.table import Faults, Table, quoted
from freehold.errors import DataError, MissingDependencyError

__all__ = ["read_xlsx"]

# What a damaged archive, or damaged XML in it, makes of the libraries that read it.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    ElementTree.ParseError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    EOFError,
    OSError,
)


def read_xlsx(data: bytes, path: Path) -> Table:
    """The header is the first row with anything in it; rows are numbered as Excel shows them.
    Empty rows are skipped. Raises DataError, MissingDependencyError."""
    try:
        import openpyxl
    except ImportError:
        raise MissingDependencyError("openpyxl", "train", f"Reading {path.name}") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and validations, which do not matter here
        try:
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # some writers record them wrongly
            cells = [
                (number, row)
                for number, row in enumerate(sheet.iter_rows(), start=1)
                if any(cell.value is not None for cell in row)
            ]
        except _BROKEN as error:
            raise DataError(
                f"{path} is not a readable Excel workbook: {error}.",
                hint="Save it again as .xlsx, or as CSV.",
            ) from None
        titles = [other.title for other in book.worksheets]
    notes: tuple[str, ...] = ()
    if len(titles) > 1:
        notes = (f'the first sheet, "{titles[0]}", was read; there are {len(titles) - 1} more',)
    return _table(cells, path, notes)


def _table(cells: list[tuple[int, Any]], path: Path, notes: tuple[str, ...]) -> Table:
    if not cells:
        raise DataError(f"{path} is empty.", hint="Give it a header row and one row for each text.")
    number, header = cells[0]
    names = [
        str(cell.value).strip() if cell.value is not None else f"column {place}"
        for place, cell in enumerate(header, start=1)
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}, row {number}: the header names {quoted(twice)} more than once.",
            hint="Give each column a name of its own.",
        )
    columns: dict[str, list[object]] = {name: [] for name in names}
    faults = Faults(path, "row")
    for row, record in cells[1:]:
        if any(cell.value is not None for cell in record[len(names) :]):
            faults.add(
                row,
                "width",
                "there is a value beyond the last column of the header",
                "Name its column, or clear it.",
            )
        if any(cell.data_type == "e" for cell in record if cell.value is not None):
            faults.add(row, "error", "a cell holds an Excel error such as #N/A", "Correct it.")
        values = [cell.value for cell in record[: len(names)]]
        values += [None] * (len(names) - len(values))
        for name, value in zip(names, values, strict=True):
            columns[name].append(value)
    faults.check()
    if len(cells) == 1:
        raise DataError(f"{path} has a header but no rows.", hint="Add one row for each text.")
    return Table(path, "xlsx", "binary", columns, [row for row, _ in cells[1:]], notes)
