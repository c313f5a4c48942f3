"""The records of tasks that read other columns than a text and its label: pairs, numbers, answers.

Which columns those are the task says, as roles; here they are found in a table and their cells
are checked. A name given by the user comes first, then the names that a role knows, in its order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from freehold.data.columns import columns_of
from freehold.data.table import Faults, Table
from freehold.errors import DataError
from freehold.tasks.base import Task
from freehold.tasks.roles import Role
from freehold.tasks.types import AnyExample

__all__ = ["find_fields", "fits", "read_records"]

_SEPARATORS = ("|", ";")  # of several labels in one cell


def find_fields(
    table: Table, task: Task, *, text: str | None, label: str | None, labelled: bool
) -> tuple[dict[str, str], bool]:
    """Role -> column, and whether any of it was inferred from names. `text` names the column of the
    first role, `label` that of the target. Raises DataError listing the columns."""
    roles = task.roles if labelled else task.asked
    given = {roles[0].name: text, **{role.name: label for role in roles if role.target}}
    found: dict[str, str] = {}
    for role in roles:
        name = given.get(role.name) or _by_name(table, role, list(found.values()))
        if name is None or name not in table.columns:
            what = f'no column "{name}"' if name else f"no column for the {role.name}"
            raise DataError(
                f"{table.path} has {what}, which {task.kind} reads. {columns_of(table)}",
                hint=_hint(role, first=role is roles[0]),
            )
        found[role.name] = name
    return found, any(given.get(role.name) is None for role in roles)


def _hint(role: Role, *, first: bool) -> str:
    way = "--label" if role.target else "--text" if first else ""
    asked = f", or say which it is with {way}" if way else ""
    return f"Name it {role.names[0]}{asked}; or set another kind under [task]."


def fits(table: Table, task: Task) -> bool:
    """Whether every role of a labelled file of this task has a column of its first name."""
    names = {_folded(name) for name in table.columns}
    return all(role.names[0] in names for role in task.roles)


def read_records(table: Table, task: Task, fields: dict[str, str]) -> list[AnyExample]:
    """Examples in order. Raises DataError for the first kind of bad record, with all its lines."""
    faults = Faults(table.path, table.unit)
    roles = [role for role in (*task.roles, *task.asked) if role.name in fields]
    columns: dict[str, Sequence[object]] = {}
    for role in roles:
        columns[role.name] = table.columns[fields[role.name]]
    parsers = {role.name: _PARSERS[role.cell] for role in roles}
    read: list[dict[str, Any]] = []
    for place, row in enumerate(table.rows):
        values = {}
        for name, cells in columns.items():
            value, fault = parsers[name](cells[place])
            if fault:
                what, hint = fault
                where = f'(column "{fields[name]}")'
                faults.add(row, f"{name} {what}", f"{what} {where}", hint)
            values[name] = value
        if "answers" in values and "context" in values:
            _locate(values, row, faults)
        read.append(values)
    faults.check()
    return [task.example(row, values) for row, values in zip(table.rows, read, strict=True)]


Parsed = tuple[Any, tuple[str, str] | None]


def _text(value: object) -> Parsed:
    if isinstance(value, str):
        return value, None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), None
    return "", (f"the text is {_what(value)}", "Give it a text.")


def _label(value: object) -> Parsed:
    if isinstance(value, str) and value.strip():
        return value.strip(), None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value), None
    what = "missing" if isinstance(value, str) else _what(value)
    return "", (f"the label is {what}", "Give it a label as text, or take the record out.")


def _what(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"


def _labels(value: object) -> Parsed:
    """A list of labels, or one string with | or ; between them; empty for none."""
    if value is None:
        return (), ("the labels are missing", "Write an empty list for a text with no label.")
    if isinstance(value, str):
        separator = next((sign for sign in _SEPARATORS if sign in value), None)
        value = value.split(separator) if separator else [value]
    if not isinstance(value, list):
        return (), (
            f"the labels are of type {type(value).__name__}",
            'Write a list of labels, or one text with "|" between them.',
        )
    names = [
        str(one).strip()
        for one in value
        if isinstance(one, str | int) and not isinstance(one, bool)
    ]
    if len(names) != len(value):
        return (), ("a label is neither a text nor a whole number", "Write labels as text.")
    return tuple(dict.fromkeys(name for name in names if name)), None


def _number(value: object) -> Parsed:
    hint = "Write a number with a decimal point, such as 3.5."
    if isinstance(value, str):
        shown = value.strip()[:40]
        if not shown:
            return 0.0, ("the number is missing", hint)
        try:
            # Python reads 1_000 as a thousand; in a table it is a slip as likely as not.
            value = None if "_" in shown else float(value)
        except ValueError:
            value = None
        if value is None:
            return 0.0, (f"{shown!r} is not a number", hint)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0, ("the number is missing" if value is None else "it is not a number", hint)
    try:
        number = float(value)
    except OverflowError:  # a whole number with hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        return 0.0, ("the number is NaN or infinite, so it was lost", hint)
    return number, None


def _answers(value: object) -> Parsed:
    """[(text, start or None)]: a list of {"text", "start"}, of texts, SQuAD's {"text": [],
    "answer_start": []} (which may lack the starts), or a single text; empty where the context does
    not say it."""
    hint = 'Write [{"text": "…", "start": 17}], or [] where the context does not say it.'
    if isinstance(value, str):
        stripped = value.strip()
        if stripped[:1] not in ("[", "{"):
            return ([(stripped, None)] if stripped else []), None
        try:
            value = json.loads(stripped)
        except ValueError:
            return [], ("the answers are not valid JSON", hint)
    if isinstance(value, dict):
        texts, starts = value.get("text", []), value.get("answer_start", value.get("start"))
        texts = texts if isinstance(texts, list) else [texts]
        if starts is None:
            starts = [None] * len(texts)
        starts = starts if isinstance(starts, list) else [starts]
        if len(texts) != len(starts):
            return [], ("the answers have not as many starts as texts", hint)
        value = [{"text": t, "start": s} for t, s in zip(texts, starts, strict=True)]
    if not isinstance(value, list):
        return [], ("the answers are missing", hint)
    found: list[tuple[str, int | None]] = []
    for one in value:
        given: dict[str, Any] = {"text": one}
        if isinstance(one, dict):
            given = one
        text, start = given.get("text"), given.get("start", given.get("answer_start"))
        whole = start is None or (isinstance(start, int) and not isinstance(start, bool))
        if not isinstance(text, str) or not text or not whole:
            return [], ("an answer has no text, or its start is not a whole number", hint)
        found.append((text, start))
    return found, None


def _locate(values: dict[str, Any], row: int, faults: Faults) -> None:
    """Give each answer its place in the context; one that does not stand there is a fault, and so
    is one without a start that stands there twice."""
    context = values["context"]
    found = []
    for text, start in values["answers"]:
        place = context.find(text) if start is None else start
        if place < 0 or context[place : place + len(text)] != text:
            where = "" if start is None else f" at character {start}"
            faults.add(
                row,
                "answer",
                f"the answer {text[:40]!r} does not stand in the context{where}",
                "Starts count characters (not bytes) from 0; the text is copied from the context.",
            )
            return
        if start is None and context.find(text, place + 1) >= 0:
            faults.add(
                row,
                "ambiguous answer",
                f"the answer {text[:40]!r} stands in the context more than once and has no start",
                'Say which it is: {"text": "…", "start": 17}, in characters from 0.',
            )
            return
        found.append((text, place))
    values["answers"] = tuple(found)


_PARSERS: dict[str, Callable[[object], Parsed]] = {
    "text": _text,
    "label": _label,
    "labels": _labels,
    "number": _number,
    "answers": _answers,
}


def _by_name(table: Table, role: Role, taken: Sequence[str]) -> str | None:
    folded = {_folded(name): name for name in table.columns if name not in taken}
    return next((folded[name] for name in role.names if name in folded), None)


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")
