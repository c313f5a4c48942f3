"""Parquet -> a table; numbers that stand for names get them from the file's own metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.data.table import Table
from freehold.errors import DataError, MissingDependencyError

__all__ = ["read_parquet"]


def read_parquet(data: bytes, path: Path) -> Table:
    """Row numbers count from 1. Raises DataError, MissingDependencyError."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingDependencyError("pyarrow", "train", f"Reading {path.name}") from None
    try:
        content = pq.read_table(io.BytesIO(data))
        names = content.schema.names
        usable = [field.name for field in content.schema if _usable(pa.types, field.type)]
        found: dict[str, list[Any]] = {name: content.column(name).to_pylist() for name in usable}
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).split("\n", 1)[0].rstrip(".")
        raise DataError(
            f"{path} is not a readable Parquet file: {reason}.", hint="Write the file again."
        ) from None
    if content.num_rows == 0:
        raise DataError(f"{path} has no rows.", hint="Add one row for each text.")
    class_names = _class_names(content.schema.metadata or {})
    columns: dict[str, Sequence[object]] = {}
    notes: list[str] = []
    for name, values in found.items():
        if name in class_names:
            columns[name] = [_named(value, class_names[name]) for value in values]
            notes.append(f'the numbers in "{name}" were replaced by the names in its metadata')
        else:
            columns[name] = values
    unusable = [name for name in names if name not in columns]
    if unusable:
        notes.append("columns of other types were left out: " + ", ".join(unusable))
    return Table(path, "parquet", "binary", columns, range(1, content.num_rows + 1), tuple(notes))


def _usable(types: Any, kind: Any) -> bool:
    """Whether a column may hold texts, labels, words or tags."""
    if types.is_dictionary(kind):
        return _usable(types, kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        inside = kind.value_type
        return bool(_string(types, inside) or types.is_integer(inside))
    return bool(
        _string(types, kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )


def _string(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Column -> class names, as Hugging Face's `datasets` library writes them into the schema."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        items = list(features.items())
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    found: dict[str, list[str]] = {}
    for column, feature in items:
        inner = feature
        if isinstance(feature, dict):
            inner = feature.get("feature", feature)
        elif isinstance(feature, list) and feature:
            inner = feature[0]
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel":
            names = inner.get("names")
            if isinstance(names, list) and all(isinstance(name, str) for name in names):
                found[column] = names
    return found


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(item, names) for item in value]
    known = isinstance(value, int) and 0 <= value < len(names)
    return names[value] if known else value
