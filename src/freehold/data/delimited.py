"""CSV and TSV -> a table: strict about quotes and column counts, with the line of each mistake."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from freehold.data.table import Faults, Table, quoted
from freehold.errors import DataError

__all__ = ["DELIMITERS", "read_delimited", "sniff_delimiter"]

DELIMITERS = (",", ";", "\t", "|")
_SHOWN = {"\t": "a tab", ",": "a comma", ";": "a semicolon", "|": "a bar"}
_SNIFFED = 200  # records
_SNIFFED_CHARACTERS = 1_000_000


def read_delimited(
    text: str, path: Path, encoding: str, format: str, known: frozenset[str]
) -> Table:
    """`format` is "csv" or "tsv"; `known` are column names (lower case) that decide between
    delimiters. A blank line is skipped. Raises DataError."""
    usual = "\t" if format == "tsv" else ","
    delimiter = sniff_delimiter(text, known, usual)
    records = _records(text, path, delimiter)
    header = next(records, None)
    if header is None:
        raise DataError(
            f"{path} is empty.", hint="Give it a header line and one line for each text."
        )
    names = _names(header[1], path, header[0])
    columns: list[list[object]] = [[] for _ in names]
    rows: list[int] = []
    faults = Faults(path, "line")
    for line, record in records:
        if len(record) != len(names):
            faults.add(
                line,
                "width",
                f"{len(record)} columns where the header has {len(names)}",
                f"Fields are separated by {_SHOWN[delimiter]}; "
                'put a field that contains one in double quotes ("…").',
            )
            continue
        rows.append(line)
        for column, value in zip(columns, record, strict=True):
            column.append(value)
    faults.check()
    if not rows:
        raise DataError(f"{path} has a header but no rows.", hint="Add one line for each text.")
    notes = () if delimiter == usual else (f"fields are separated by {_SHOWN[delimiter]}",)
    return Table(path, format, encoding, dict(zip(names, columns, strict=True)), rows, notes)


def _records(text: str, path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each record with the line it starts on; line ends inside quotes are kept as they are."""
    # Python's csv refuses fields above 128 KiB unless told; a long text is for `data check` to say.
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 0
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _quote_error(path, line, reader.line_num, str(error)) from None
        if record:
            yield line, record


def _quote_error(path: Path, start: int, now: int, reason: str) -> DataError:
    if "end of data" in reason:
        return DataError(
            f"{path}, line {start}: a double quote is opened in this record and never closed.",
            hint='Close it, or write a quote that belongs to the text as "" inside a quoted field.',
        )
    where = f"line {now}" if now == start else f"line {now} (of the record from line {start})"
    return DataError(
        f"{path}, {where}: text follows the closing quote of a field ({reason}).",
        hint='Write a quote that belongs to the text as "" inside a quoted field.',
    )


def _names(header: list[str], path: Path, line: int) -> list[str]:
    """Column names; a nameless one (as of an index) is called by its place."""
    names = [name.strip() or f"column {place}" for place, name in enumerate(header, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}, line {line}: the header names {quoted(twice)} more than once.",
            hint="Give each column a name of its own.",
        )
    return names


def sniff_delimiter(text: str, known: frozenset[str], usual: str) -> str:
    """The delimiter that gives known column names, then equal column counts; else the usual one."""
    best, best_score = usual, (0, 0.0, 0)
    sample = text[:_SNIFFED_CHARACTERS]
    for delimiter in sorted(DELIMITERS, key=lambda sign: sign != usual):
        widths: list[int] = []
        names: list[str] = []
        try:
            for _, record in _records(sample, Path(), delimiter):
                names = names or record
                widths.append(len(record))
                if len(widths) == _SNIFFED:
                    break
        except DataError:  # a broken quote, or the sample's cut: judge by what came before
            pass
        if not widths or widths[0] < 2:
            continue
        fitting = sum(name.strip().lower() in known for name in names)
        score = (fitting, widths.count(widths[0]) / len(widths), widths[0])
        # Equal scores go to the usual delimiter, which comes first.
        if score[:2] > best_score[:2]:
            best, best_score = delimiter, score
    return best
