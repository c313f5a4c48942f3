"""Read any labelled file: find out its format, encoding and columns, and say what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from freehold.data.columns import KNOWN, find_columns
from freehold.data.delimited import DELIMITERS, read_delimited
from freehold.data.encoding import Decoded, decode
from freehold.data.examples import read_tagged, read_texts
from freehold.data.jsonl import read_jsonl
from freehold.data.lines import looks_like_conll, read_conll, read_lines
from freehold.data.parquet import read_parquet
from freehold.data.table import Table
from freehold.data.types import TASKS, Dataset, Example, TaggedExample, Task
from freehold.data.xlsx import read_xlsx
from freehold.errors import DataError

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

    `text` and `label` name the columns (for token-classification those of the words and the tags);
    what is not given is inferred, and the result says so. Without `task` the columns decide it.
    Raises DataError, naming file and line, for whatever is not usable; MissingDependencyError for
    Parquet and XLSX without their libraries.
    """
    path = Path(path)
    if task is not None and task not in TASKS:
        raise DataError(f'There is no task "{task}".', hint=f"The tasks are {' and '.join(TASKS)}.")
    data = _bytes(path)
    table, decoded = _table(path, data, text=text, label=label, labelled=labelled)
    examples: Sequence[Example] | Sequence[TaggedExample]
    notes: tuple[str, ...] = (decoded.note,) if decoded and decoded.note else ()
    inferred = False
    repaired: tuple[int, ...] = ()
    if table.fixed:
        source, *rest = table.columns
        target = rest[0] if rest else None
        kind = _fixed_task(table, task)
        roles = _roles(kind, source, target)
    else:
        columns = find_columns(table, task=task, text=text, label=label, labelled=labelled)
        kind, source, target = columns.task, columns.source, columns.target
        roles, inferred = columns.roles(), columns.inferred
    notes += table.notes
    if kind == "token-classification":
        tagged = read_tagged(table, source, target)
        examples, repaired = tagged.examples, tagged.repaired
        notes += tagged.notes
    else:
        examples = read_texts(table, source, target)
    digest = hashlib.sha256(data).hexdigest()
    return Dataset(
        path,
        kind,
        examples,
        digest,
        table.format,
        table.encoding,
        roles,
        inferred,
        notes=notes,
        repaired=repaired,
    )


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
    if table.format == "txt":
        return task or "text-classification"
    if task == "text-classification":
        raise DataError(
            f"{table.path} holds words with tags (CoNLL columns), but the task is "
            "text-classification.",
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
