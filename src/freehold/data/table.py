"""A file's records before anyone knows which column is the text, and the faults found in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from freehold.errors import DataError

__all__ = ["Faults", "Table", "listed", "printable", "quoted"]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of equal length; a value that a record lacks is None.

    `rows` holds the line (Parquet, XLSX: the row) where each record starts, as a person counts.
    `fixed` says that the format itself tells which column is what (CoNLL, plain text).
    """

    path: Path
    format: str
    encoding: str
    columns: Mapping[str, Sequence[object]]
    rows: Sequence[int]
    notes: tuple[str, ...] = ()
    fixed: bool = False

    @property
    def unit(self) -> str:
        return unit_of(self.format)


def unit_of(format: str) -> str:
    """What a person counts in such a file: lines, or the rows of a table without lines."""
    return "row" if format in ("parquet", "xlsx") else "line"


def printable(text: str) -> str:
    """A label or a column's name from a file, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{printable(name)}"' for name in names)


def listed(rows: Sequence[int], most: int = 5) -> str:
    """The first few row numbers: "3, 8, 9 and 12 more"."""
    shown = ", ".join(str(row) for row in rows[:most])
    return shown if len(rows) <= most else f"{shown} and {len(rows) - most:,} more"


@dataclass(slots=True)
class Faults:
    """Bad records of one file, gathered so that a person sees at once how many there are.

    Faults of the same kind share one sentence; `check` raises the kind that occurs first.
    """

    path: Path
    unit: str
    _found: dict[str, tuple[str, str | None, list[int]]] = field(default_factory=dict)

    def add(self, row: int, kind: str, message: str, hint: str | None = None) -> None:
        """`message` follows "FILE, line N: " and describes this record; later ones are counted."""
        self._found.setdefault(kind, (message, hint, []))[2].append(row)

    def check(self) -> None:
        """Raise DataError if anything was added."""
        if not self._found:
            return
        message, hint, rows = min(self._found.values(), key=lambda fault: fault[2][0])
        more = f" The same in {self.unit}s {listed(rows[1:])}." if len(rows) > 2 else ""
        if len(rows) == 2:
            more = f" The same in {self.unit} {rows[1]}."
        raise DataError(f"{self.path}, {self.unit} {rows[0]}: {message}.{more}", hint=hint)
