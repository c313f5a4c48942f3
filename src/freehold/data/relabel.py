"""A reviewed sheet back into its file: labels corrected, texts added, the rest as it was."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.data.delimited import sniff_delimiter
from freehold.data.encoding import decode
from freehold.data.read import FORMATS
from freehold.data.sheet import read_sheet
from freehold.errors import ConflictError, DataError
from freehold.store.files import write_bytes
from freehold.tasks.types import Dataset, Example

__all__ = ["Applied", "apply_sheet"]


@dataclass(frozen=True, slots=True)
class Applied:
    corrected: int  # rows whose label is another now
    added: int  # labelled texts from a pool
    rows: int  # of the new file


def apply_sheet(data: Dataset, sheet: Path, out: Path) -> Applied:
    """Write `data`'s file with the labels of the sheet's column `label` as `out`, whole or not at
    all: format, columns, order and everything else stay.

    A sheet of suspects (with the columns row, text, given, label) corrects rows; an empty label
    leaves the row as it is. A sheet of wanted texts (row, text, label) adds those with a label at
    the end. Raises DataError where the sheet is not of this file (a text or a given label differs),
    and for formats other than CSV, TSV and JSON Lines; ConflictError where `out` is there.
    """
    if out.exists():
        raise ConflictError(f"{out} is already there.", hint="Name another file with --out.")
    if data.format not in ("csv", "tsv", "jsonl"):
        raise DataError(
            f"{data.path} is of the format {data.format}; corrections are written into CSV, TSV "
            "and JSON Lines.",
            hint="Save it as one of these first.",
        )
    changes, more = _wishes(data, sheet)
    decoded = decode(data.path.read_bytes(), data.path)
    write = _jsonl if data.format == "jsonl" else _delimited
    codec = "utf-8" if decoded.encoding == "utf-8-sig" else decoded.encoding
    mark = "\N{ZERO WIDTH NO-BREAK SPACE}" if _marked(data.path) else ""
    try:
        content = (mark + write(data, decoded.text, changes, more)).encode(codec)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{data.path} is written in {codec}, which has no {error.object[error.start]!r}.",
            hint="Save the file as UTF-8 first.",
        ) from None
    write_bytes(out, content)
    return Applied(len(changes), len(more), len(data) + len(more))


def _marked(path: Path) -> bool:
    with path.open("rb") as content:
        return content.read(3) == b"\xef\xbb\xbf"


def _wishes(data: Dataset, sheet: Path) -> tuple[dict[int, str], list[tuple[str, str]]]:
    """Row -> its new label, and (text, label) of what is to be added."""
    table = read_sheet(sheet, ("row", "text", "label"))
    columns: Mapping[str, Sequence[str]] = table.columns  # type: ignore[assignment] # read as texts
    labels = [label.strip() for label in columns["label"]]
    if "given" not in columns:
        pairs = zip(columns["text"], labels, strict=True)
        return {}, [(text, label) for text, label in pairs if label]
    known = {e.row: e for e in data.examples if isinstance(e, Example)}
    changes: dict[int, str] = {}
    cells = zip(table.rows, columns["row"], columns["text"], columns["given"], labels, strict=True)
    for line, row, text, given, label in cells:
        example = known.get(int(row)) if row.isdecimal() else None
        if example is None or _plain(example.text) != _plain(text) or example.label != given:
            raise DataError(
                f"{sheet}, line {line}: row {row} of {data.path} does not hold this text with the "
                "given label.",
                hint="The file has changed since the review, or the sheet is another file's; make "
                "the review again.",
            )
        if label and label != given:
            changes[example.row] = label
    return changes, []


def _plain(text: str) -> str:
    """Without what a spreadsheet may do to line ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _jsonl(
    data: Dataset, text: str, changes: Mapping[int, str], more: Sequence[tuple[str, str]]
) -> str:
    source, target = data.columns["text"], data.columns["label"]
    lines = text.split("\n")
    for row, label in changes.items():
        record = json.loads(lines[row - 1])
        end = "\r" if lines[row - 1].endswith("\r") else ""
        lines[row - 1] = json.dumps({**record, target: label}, ensure_ascii=False) + end
    whole = "\n".join(lines)
    if more and not whole.endswith("\n"):
        whole += "\n"
    added = ({source: words, target: label} for words, label in more)
    return whole + "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in added)


def _delimited(
    data: Dataset, text: str, changes: Mapping[int, str], more: Sequence[tuple[str, str]]
) -> str:
    """Records that are not changed keep their very characters, quotes and line ends included."""
    source, target = data.columns["text"], data.columns["label"]
    delimiter = sniff_delimiter(text, frozenset({source, target}), _usual(data.path))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines = io.StringIO(text, newline="").readlines()
    names = [name.strip() for name in next(reader)]
    end = "\r\n" if lines[0].endswith("\r\n") else "\n"
    place = names.index(target)
    parts = lines[: reader.line_num]
    start = reader.line_num
    for record in reader:
        if start + 1 in changes:
            record[place] = changes[start + 1]
            parts.append(_line(record, delimiter, end))
        else:
            parts.extend(lines[start : reader.line_num])
        start = reader.line_num
    if more and not parts[-1].endswith(("\n", "\r")):
        parts[-1] += end
    for words, label in more:
        values = {source: words, target: label}
        parts.append(_line([values.get(name, "") for name in names], delimiter, end))
    return "".join(parts)


def _usual(path: Path) -> str:
    return "\t" if FORMATS.get(path.suffix.lower()) == "tsv" else ","


def _line(record: Sequence[str], delimiter: str, end: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerow(record)
    return text.getvalue()
