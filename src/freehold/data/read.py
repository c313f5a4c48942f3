"""Read any labelled file: find out its format, encoding and columns, and say what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.data.columns import KNOWN, find_columns
from freehold.data.delimited import DELIMITERS, read_delimited
from freehold.data.encoding import Decoded, decode
from freehold.data.examples import read_tagged, read_texts
from freehold.data.fields import find_fields, fits, read_records
from freehold.data.jsonl import read_jsonl
from freehold.data.lines import looks_like_conll, read_conll, read_lines
from freehold.data.offsets import find_offsets, read_offsets
from freehold.data.parquet import read_parquet
from freehold.data.table import Table
from freehold.data.xlsx import read_xlsx
from freehold.errors import DataError
from freehold.tasks.registry import kinds, task_of
from freehold.tasks.types import AnyExample, Dataset, Task

__all__ = ["FORMATS", "read_dataset"]

# The format that a file's ending promises. ".txt" and the like promise none: the content decides.
FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".conll": "conll",
    ".bio": "conll",
    ".iob": "conll",
    ".iob2": "conll",
}
_TAGGING = "token-classification"
_CLASSIC = ("text-classification", _TAGGING)  # found by more than their columns' names
_KINDS = "CSV, TSV, JSON Lines, Parquet, XLSX or CoNLL columns"


def read_dataset(
    path: Path | str,
    *,
    task: Task | None = None,
    text: str | None = None,
    label: str | None = None,
    labelled: bool = True,
) -> Dataset:
    """Read a file of labelled texts, or of texts alone with `labelled=False`.

    `text` and `label` name the columns (for token-classification those of the words and the tags,
    for other tasks the first of what they read and what they should answer);
    what is not given is inferred, and the result says so. Without `task` the columns decide it.
    Raises DataError, naming file and line, for whatever is not usable; MissingDependencyError for
    Parquet and XLSX without their libraries.
    """
    path = Path(path)
    if task is not None and task not in kinds():
        raise DataError(f'There is no task "{task}".', hint=f"The tasks are {', '.join(kinds())}.")
    data = _bytes(path)
    table, decoded = _table(path, data, text=text, label=label, labelled=labelled)
    found = _understood(table, task, text=text, label=label, labelled=labelled)
    notes = (decoded.note,) if decoded and decoded.note else ()
    return Dataset(
        path,
        found.task,
        found.examples,
        hashlib.sha256(data).hexdigest(),
        table.format,
        table.encoding,
        found.roles,
        found.inferred,
        notes=(*notes, *table.notes, *found.notes),
        repaired=found.repaired,
    )


@dataclass(frozen=True, slots=True)
class _Understood:
    """What a table's records are."""

    task: Task
    examples: Sequence[AnyExample]
    roles: dict[str, str]
    inferred: bool = False
    notes: tuple[str, ...] = ()
    repaired: tuple[int, ...] = ()


def _understood(
    table: Table, task: Task | None, *, text: str | None, label: str | None, labelled: bool
) -> _Understood:
    kind = task or (_apparent(table) if labelled and not (text or label) else None)
    if kind is not None and kind not in _CLASSIC and not table.fixed:
        adapter = task_of(kind)
        roles, inferred = find_fields(table, adapter, text=text, label=label, labelled=labelled)
        return _Understood(kind, read_records(table, adapter, roles), roles, inferred)
    offsets = find_offsets(table, text, label) if labelled and kind in (None, _TAGGING) else None
    if offsets is not None:
        tagged, note = read_offsets(table, *offsets)
        roles = dict(zip(("text", "entities"), offsets, strict=True))
        return _Understood(_TAGGING, tagged, roles, not (text and label), (note,))
    return _classic(table, kind, text=text, label=label, labelled=labelled)


def _apparent(table: Table) -> Task | None:
    """The task whose columns all stand in the table under the names that it calls them itself."""
    found = [kind for kind in kinds() if kind not in _CLASSIC and fits(table, task_of(kind))]
    # Pairs with a score are for pair-scoring and for sentence-embedding alike.
    return found[0] if found else None


def _classic(
    table: Table, task: Task | None, *, text: str | None, label: str | None, labelled: bool
) -> _Understood:
    """A text with a label, or words with tags."""
    inferred = False
    if table.fixed:
        source, *rest = table.columns
        target = rest[0] if rest else None
        kind = _fixed_task(table, task)
        roles = _roles(kind, source, target)
    else:
        columns = find_columns(table, task=task, text=text, label=label, labelled=labelled)
        kind, source, target = columns.task, columns.source, columns.target
        roles, inferred = columns.roles(), columns.inferred
    if kind == _TAGGING:
        words = read_tagged(table, source, target)
        return _Understood(kind, words.examples, roles, inferred, words.notes, words.repaired)
    return _Understood(kind, read_texts(table, source, target), roles, inferred)


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"There is no file {path}.", hint="Check the name and folder.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder, not a file.", hint="Name the file in it.") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
        ) from None
    if not data:
        raise DataError(f"{path} is empty.", hint=f"Give a file of {_KINDS}.")
    return data


def _table(
    path: Path, data: bytes, *, text: str | None, label: str | None, labelled: bool
) -> tuple[Table, Decoded | None]:
    """The file's records, and how its text was decoded (None for binary formats)."""
    format = FORMATS.get(path.suffix.lower())
    if format is None and data.startswith((b"PAR1", b"PK\x03\x04")):
        format = "parquet" if data.startswith(b"PAR1") else "xlsx"
    if format == "parquet":
        return read_parquet(data, path), None
    if format == "xlsx":
        return read_xlsx(data, path), None
    decoded = decode(data, path)
    if format is None:
        format = _sniffed(path, decoded.text, labelled=labelled)
    name = decoded.encoding
    if format == "conll":
        table = read_conll(decoded.text, path, name, words=text, tags=label, labelled=labelled)
    elif format == "txt":
        table = read_lines(decoded.text, path, name)
    elif format == "jsonl":
        table = read_jsonl(decoded.text, path, name)
    else:
        known = KNOWN | {column.lower() for column in (text, label) if column}
        table = read_delimited(decoded.text, path, name, format, known)
    return table, decoded


def _sniffed(path: Path, text: str, *, labelled: bool) -> str:
    """The format that the content shows."""
    if text.lstrip().startswith(("{", "[{")):
        return "jsonl"
    if looks_like_conll(text):
        return "conll"
    if not labelled and path.suffix.lower() in (".txt", ".text"):
        return "txt"
    first = text.lstrip("\r\n").split("\n", 1)[0]
    if "\t" in first:
        return "tsv"
    if any(delimiter in first for delimiter in DELIMITERS):
        return "csv"
    if not labelled:
        return "txt"
    raise DataError(
        f"{path} is in no format that Freehold knows.", hint=f"Give a file of {_KINDS}."
    )


def _fixed_task(table: Table, task: Task | None) -> Task:
    """The task of a format without column names; words with tags cannot become another."""
    if table.format == "txt" and task in (None, *_CLASSIC):
        return task or "text-classification"
    if task not in (None, _TAGGING):
        what = "one text a line" if table.format == "txt" else "words with tags (CoNLL columns)"
        raise DataError(
            f"{table.path} holds {what}, but the task is {task}.",
            hint='Set kind = "token-classification" under [task], or give a file with one label '
            "for each text.",
        )
    return "token-classification"


def _roles(task: Task, source: str, target: str | None) -> dict[str, str]:
    tagged = task == "token-classification"
    roles = {"tokens" if tagged else "text": source}
    if target is not None:
        roles["tags" if tagged else "label"] = target
    return roles
