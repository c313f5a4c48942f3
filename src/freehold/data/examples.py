"""A table with known columns -> examples; every record is looked at, bad ones name their line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat

from freehold.data.table import Faults, Table, listed, printable
from freehold.tasks.bio import OUTSIDE, is_iob1, is_tag, to_bio
from freehold.tasks.lines import LINE, breaks_between, with_lines, without_lines
from freehold.tasks.types import Example, TaggedExample
from freehold.tasks.words import split_words

__all__ = ["Tagged", "read_tagged", "read_texts"]


def read_texts(table: Table, text: str, label: str | None) -> list[Example]:
    """Texts as they are, labels without the spaces around them. Raises DataError."""
    faults = Faults(table.path, table.unit)
    examples: list[Example] = []
    labels: Sequence[object] | repeat[None] = table.columns[label] if label else repeat(None)
    for row, value, mark in zip(table.rows, table.columns[text], labels, strict=False):
        words = _text(value, row, text, table, faults)
        name = _label(mark, row, label, faults) if label else None
        examples.append(Example(row, words, name))
    faults.check()
    return examples


def _text(value: object, row: int, column: str, table: Table, faults: Faults) -> str:
    if isinstance(value, str):
        return value
    if value is None and table.format == "xlsx":
        return ""  # a spreadsheet does not tell an empty text from none
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        faults.add(
            row,
            "text list",
            f'"{column}" holds a list, not a text',
            "Words with tags are the task token-classification.",
        )
    else:
        faults.add(
            row, "text", f'the text is {_described(value)} (column "{column}")', "Give it a text."
        )
    return ""


def _label(value: object, row: int, column: str, faults: Faults) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        message, hint = "the label is missing", "Give it a label, or take it out."
    elif isinstance(value, str):
        message, hint = "the label is nothing but spaces", "Give it a label, or take it out."
    elif isinstance(value, list):
        message = "the label is a list"
        hint = "A text has one label here: write one as a string, or choose another column."
    else:
        message = f"the label is {_described(value)}"
        hint = "Write labels as text, or as whole numbers."
    faults.add(row, message, f'{message} (column "{column}")', hint)
    return ""


def _described(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, float):
        return "NaN, so it was lost" if math.isnan(value) else "a decimal number"
    if isinstance(value, bool):
        return "true or false"
    return f"a value of type {type(value).__name__}"


@dataclass(frozen=True, slots=True)
class Tagged:
    """Sentences with valid BIO tags, notes on what was converted, and the rows with slips."""

    examples: list[TaggedExample]
    notes: tuple[str, ...]
    repaired: tuple[int, ...]


def read_tagged(table: Table, tokens: str, tags: str | None) -> Tagged:
    """Sentences, and what was converted. A string of words is split at its spaces if
    it comes with tags, else as a raw text (`split_words`). Raises DataError."""
    faults = Faults(table.path, table.unit)
    examples: list[TaggedExample] = []
    marks: Sequence[object] | repeat[None] = table.columns[tags] if tags else repeat(None)
    split = 0
    for row, value, mark in zip(table.rows, table.columns[tokens], marks, strict=False):
        split += isinstance(value, str)
        words = _words(value, row, tokens, faults, raw=tags is None)
        names = _tags(mark, row, tags, faults) if tags else None
        if names is not None and words and names and len(names) != len(words):
            faults.add(
                row,
                "length",
                f"{len(words)} words but {len(names)} tags",
                "Give each word one tag; a word outside any entity has the tag O.",
            )
            continue
        examples.append(_of_lines(row, words, names, faults))
    faults.check()
    notes: list[str] = []
    if split:
        way = "at their spaces" if tags else "into words and punctuation"
        notes.append(f'the strings in "{tokens}" were split {way}')
    slips: tuple[int, ...] = ()
    if tags:
        examples, note, slips = _as_bio(table, examples)
        notes += [note] if note else []
    return Tagged(examples, tuple(notes), slips)


def _words(value: object, row: int, column: str, faults: Faults, *, raw: bool) -> tuple[str, ...]:
    if isinstance(value, str):
        if raw:
            spans = split_words(value)
            words = [value[start:end] for start, end in spans]
            return with_lines(words, breaks_between(value, spans))
        return tuple(value.split())
    if not isinstance(value, list):
        faults.add(
            row,
            "words",
            f'the words are {_described(value)} (column "{column}")',
            "Write a list of words.",
        )
        return ()
    for place, word in enumerate(value, start=1):
        if not isinstance(word, str) or not (word.strip() or word == LINE):
            what = "empty" if isinstance(word, str) else _described(word)
            faults.add(
                row,
                "word",
                f'word {place} is {what} (column "{column}")',
                "Each word is a string with something in it; leave out empty ones with their tags.",
            )
            return ()
    return tuple(value)


def _of_lines(
    row: int, words: tuple[str, ...], tags: tuple[str, ...] | None, faults: Faults
) -> TaggedExample:
    """The sentence without the line breaks among its words, and where they were."""
    if LINE not in words:
        return TaggedExample(row, words, tags)
    kept, breaks = without_lines(words)
    if tags and any(tags[number] != OUTSIDE for number, word in enumerate(words) if word == LINE):
        faults.add(
            row,
            "line",
            "a line break has a tag of an entity",
            f'Give each "\\n" among the words the tag {OUTSIDE}.',
        )
    chosen = None if tags is None else tuple(tags[number] for number in kept if tags)
    return TaggedExample(row, tuple(words[number] for number in kept), chosen, breaks)


def _tags(value: object, row: int, column: str, faults: Faults) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split()
    if not isinstance(value, list):
        faults.add(
            row,
            "tags",
            f'the tags are {_described(value)} (column "{column}")',
            "Write a list with one tag for each word.",
        )
        return ()
    tags = tuple(tag.strip() if isinstance(tag, str) else str(tag) for tag in value)
    for place, tag in enumerate(tags, start=1):
        if not is_tag(tag):
            faults.add(
                row,
                "tag",
                f'"{printable(tag[:40])}" (word {place}) is not a BIO tag',
                "Tags are O, B-X where an entity of type X begins, I-X inside it"
                + _about(tag)
                + ".",
            )
            return ()
    return tags


def _about(tag: str) -> str:
    """What to do about tags of another scheme."""
    if tag.lstrip("-").isdecimal():
        return "; numbers must be replaced by the names they stand for"
    if tag[:2] in ("S-", "U-", "E-", "L-"):
        return "; of BIOES or BILOU tags, write S- or U- as B-, and E- or L- as I-"
    return ""


def _as_bio(
    table: Table, examples: list[TaggedExample]
) -> tuple[list[TaggedExample], str | None, tuple[int, ...]]:
    """Valid BIO as it is. Consistent IOB1 is converted; in BIO with slips, an I-X that nothing
    begins is read as B-X, as the CoNLL scorer does. A note, and the rows that were slips."""
    sentences = [example.tags or () for example in examples]
    converted = [to_bio(tags) for tags in sentences]
    changed = [
        (example.row, sum(map(str.__ne__, old, new)))
        for example, old, new in zip(examples, sentences, converted, strict=True)
        if old != new
    ]
    if not changed:
        return examples, None, ()
    total = sum(count for _, count in changed)
    rows = tuple(row for row, _ in changed)
    if is_iob1(sentences):
        note = f"IOB1 tags were converted to BIO: {total:,} tags changed from I- to B-"
        slips: tuple[int, ...] = ()
    else:
        where = f"{table.unit}{'s' if len(rows) > 1 else ''} {listed(rows)}"
        note = f"{total:,} I- tags that no B- tag begins were read as B- ({where})"
        slips = rows
    pairs = zip(examples, converted, strict=True)
    return [replace(example, tags=tags) for example, tags in pairs], note, slips
