"""JSON Lines -> a table: one object a line, each mistake with its line and byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from freehold.data.table import Table
from freehold.errors import DataError

__all__ = ["read_jsonl"]

_MOST_COLUMNS = 1000


def read_jsonl(text: str, path: Path, encoding: str) -> Table:
    """A key that a record lacks is None in its column; blank lines are skipped.

    Raises DataError."""
    import msgspec

    decoder = msgspec.json.Decoder(dict[str, Any])
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    names: dict[str, None] = {}
    # Only "\n" ends a record: JSON strings may hold U+2028 and its like as they are.
    for line, record in enumerate(text.split("\n"), start=1):
        if not record or record.isspace():
            continue
        try:
            value = decoder.decode(record)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise _explained(path, line, record, str(error), first=not rows) from None
        rows.append(line)
        records.append(value)
        names.update(dict.fromkeys(value))
        if len(names) > _MOST_COLUMNS:
            raise DataError(
                f"{path}, line {line}: more than {_MOST_COLUMNS:,} different keys so far; "
                "these are not records of one kind.",
                hint="Write one object a line with the same keys, such as text and label.",
            )
    if not rows:
        raise DataError(
            f"{path} is empty.", hint='Write one object a line: {"text": "…", "label": "…"}.'
        )
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(path, "jsonl", encoding, columns, rows)


def _explained(path: Path, line: int, record: str, reason: str, *, first: bool) -> DataError:
    start = record.lstrip()
    if first and (start.startswith("[") or start.rstrip() == "{"):
        return DataError(
            f"{path} is one JSON document, not JSON Lines (one object a line).",
            hint="Convert it: jq -c '.[]' FILE.json > FILE.jsonl",
        )
    if "Expected `object`" in reason:
        return DataError(
            f"{path}, line {line}: the line is not a JSON object.",
            hint='Write one object a line: {"text": "…", "label": "…"}.',
        )
    hint = "Write the file with a JSON library; each line is one complete object."
    if "NaN" in record or "Infinity" in record:
        hint = "JSON has no NaN or Infinity: leave the key out, or give the row its value. " + hint
    what = reason.removeprefix("JSON is malformed: ")
    return DataError(f"{path}, line {line}: the line is not valid JSON: {what}.", hint=hint)
