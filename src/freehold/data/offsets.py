"""Entities as character offsets in a text -> words with BIO tags.

A record has a text and a list of {"start", "end", "label"} or [start, end, label] (as annotation
tools export them); the words are those of `split_words`, cut where an entity begins or ends inside
of one, so that the tags say exactly what the offsets do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from freehold.data.table import Faults, Table
from freehold.tasks.bio import OUTSIDE
from freehold.tasks.lines import breaks_between
from freehold.tasks.types import TaggedExample
from freehold.tasks.words import split_words

__all__ = ["find_offsets", "read_offsets", "tag"]

NAMES = ("entities", "spans", "annotations", "ents", "label", "labels")
_TEXTS = ("text", "sentence", "content", "data")
_TYPES = ("label", "type", "entity", "entity_group", "tag")

Span = tuple[int, int, str]


def find_offsets(table: Table, text: str | None, label: str | None) -> tuple[str, str] | None:
    """The columns of the text and of its entities, if the file has such a pair."""
    columns = table.columns
    marks = [label] if label else [name for name in NAMES if name in columns]
    mark = next((name for name in marks if name in columns and _is_offsets(columns[name])), None)
    source = text or next((name for name in _TEXTS if name in columns), None)
    return (source, mark) if mark and source and source in columns else None


def read_offsets(table: Table, source: str, mark: str) -> tuple[list[TaggedExample], str]:
    """Examples, and a note on what was converted. Raises DataError."""
    faults = Faults(table.path, table.unit)
    examples = []
    cut = 0
    rows = zip(table.rows, table.columns[source], table.columns[mark], strict=True)
    for row, text, value in rows:
        if not isinstance(text, str):
            faults.add(row, "text", f'the text is missing (column "{source}")', "Give it a text.")
            continue
        spans = _spans(value, text, row, mark, faults)
        words, tags, breaks, more = tag(text, spans)
        cut += more
        examples.append(TaggedExample(row, words, tags, breaks))
    faults.check()
    note = f'the offsets in "{mark}" became tags of words'
    return examples, note + (f"; {cut:,} words were cut at an entity's edge" if cut else "")


def tag(
    text: str, spans: Sequence[Span]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...], int]:
    """Words, their BIO tags, which of them begin a line, and how many words were cut. Spans are in
    order and do not overlap."""
    edges = {place for start, end, _ in spans for place in (start, end)}
    pieces: list[tuple[int, int]] = []
    for start, end in split_words(text):
        inner = sorted(place for place in edges if start < place < end)
        bounds = [start, *inner, end]
        pieces += [(a, b) for a, b in pairwise(bounds) if text[a:b].strip()]
    words = tuple(text[a:b] for a, b in pieces)
    tags = [OUTSIDE] * len(pieces)
    for start, end, kind in spans:
        inside = [n for n, (a, b) in enumerate(pieces) if start <= a and b <= end]
        for n in inside:
            tags[n] = f"I-{kind}"
        if inside:
            tags[inside[0]] = f"B-{kind}"
    cut = len(pieces) - len(split_words(text))
    return words, tuple(tags), breaks_between(text, pieces), cut


def _is_offsets(values: Sequence[object]) -> bool:
    lists = [value for value in values if value is not None and value != ""]
    if not lists or not all(isinstance(value, list) for value in lists):
        return False
    items = [item for value in lists if isinstance(value, list) for item in value]
    return bool(items) and all(
        (isinstance(item, dict) and "start" in item and "end" in item)
        or (isinstance(item, list) and len(item) == 3 and isinstance(item[0], int))
        for item in items
    )


def _spans(value: object, text: str, row: int, column: str, faults: Faults) -> list[Span]:
    found: list[Span] = []
    for item in value if isinstance(value, list) else []:
        span = _span(item)
        if span is None or not 0 <= span[0] < span[1] <= len(text):
            faults.add(
                row,
                "offsets",
                f'an entity in "{column}" has no label, or does not lie in its text of '
                f"{len(text):,} characters",
                'Write {"start": 0, "end": 5, "label": "NAME"}; offsets count characters from 0, '
                "the end is the one after the last.",
            )
            return []
        if not text[span[0] : span[1]].strip():
            faults.add(
                row,
                "blank entity",
                f'an entity in "{column}" covers only blanks ({span[2]} at character {span[0]})',
                "Move it onto its words, or take it out.",
            )
            return []
        found.append(span)
    found.sort()
    for before, after in pairwise(found):
        if after[0] < before[1]:
            faults.add(
                row,
                "overlap",
                f"two entities overlap ({before[2]} and {after[2]} at character {after[0]})",
                "Keep one of them: a word has one tag.",
            )
            return []
    return found


def _span(item: Any) -> Span | None:
    if isinstance(item, list):
        start, end, kind = item
    else:
        start, end = item.get("start"), item.get("end")
        kind = next((item[name] for name in _TYPES if item.get(name)), None)
    whole = all(isinstance(place, int) and not isinstance(place, bool) for place in (start, end))
    if not whole or not isinstance(kind, str) or not kind.strip() or kind != "".join(kind.split()):
        return None
    return start, end, kind
