"""Lines of a batch's file: each is a request as POST /models/NAME takes it, and may have an id."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import msgspec

from freehold.errors import FreeholdError, InputError, TooLargeError
from freehold.serve.batches.ports import Chunk
from freehold.serve.contracts.base import Request
from freehold.serve.contracts.hf import decode
from freehold.serve.ports import ModelMeta

__all__ = ["Line", "Span", "Unreadable", "chunks_of", "divide", "read_line", "read_lines", "survey"]

# What is answered, metered and committed at once: little enough that what a crash undoes is a
# second's work, enough that commits cost little.
CHUNK_INPUTS = 64
CHUNK_BYTES = 256 * 1024
_LONGEST_ID = 128
_BOM = b"\xef\xbb\xbf"
# Reading is pure Python: now and then others get the interpreter, who would wait longer for it.
_LINES_A_BREATH = 16
_BREATH = 0.0002

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_id = msgspec.json.Decoder(str)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Line:
    """A line that was read; `number` in the file, from 1."""

    number: int
    id: str | None
    request: Request


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that could be read when it was accepted, and cannot any more."""

    number: int
    error: FreeholdError


@dataclass(frozen=True, slots=True)
class Span:
    """Where a chunk lies in the file; see ports.Chunk."""

    offset: int
    size: int
    first: int
    line: int
    lines: int


def read_line(sent: bytes, number: int, meta: ModelMeta, max_inputs: int) -> Line:
    """Raises InputError, saying what is wrong with it."""
    name: str | None = None
    try:
        found = _object.decode(sent)
        given = found.pop("id", None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        given = None  # `decode` says what is wrong
    if given is not None:
        name = _read_id(bytes(given))
        sent = _encode(found)
    return Line(number, name, decode(sent, meta, max_inputs))


def _read_id(given: bytes) -> str | None:
    if given == b"null":
        return None
    try:
        name = _id.decode(given)
    except (msgspec.DecodeError, UnicodeDecodeError):
        name = ""
    if not 1 <= len(name) <= _LONGEST_ID:
        raise InputError(
            f"id is not a text of 1 to {_LONGEST_ID} characters.",
            hint="Leave it out: results tell the line, too.",
        )
    return name


def read_lines(chunk: Chunk, meta: ModelMeta, max_inputs: int) -> Iterator[Line | Unreadable]:
    """The lines of a chunk."""
    for at, sent in enumerate(chunk.requests.split(b"\n")):
        if not sent.strip():
            continue
        number = chunk.line + at
        try:
            yield read_line(sent, number, meta, max_inputs)
        except FreeholdError as error:
            yield Unreadable(number, error)


def survey(
    file: IO[bytes], meta: ModelMeta, *, max_inputs: int, max_lines: int, max_line_bytes: int
) -> list[Span]:
    """Read the whole file, a line at a time, and divide it into chunks.

    Raises InputError for a file with bad lines, naming the first one, for one without any, and
    TooLargeError for one with too many.
    """
    spans: list[Span] = []
    bad = ""
    wrong = total = number = 0
    file.seek(len(_BOM) if file.read(len(_BOM)) == _BOM else 0)
    offset = file.tell()
    chunk = _Growing(offset, 0, 1)
    while sent := file.readline(max_line_bytes + 1):
        number += 1
        if len(sent) > max_line_bytes:
            raise TooLargeError(
                f"Line {number} is longer than {max_line_bytes:,} bytes.",
                hint="Send its inputs on several lines.",
            )
        if number % _LINES_A_BREATH == 0:
            time.sleep(_BREATH)
        if sent.strip():
            if total == max_lines:
                raise TooLargeError(
                    f"The file has more than {max_lines:,} lines.", hint="Send it in several."
                )
            try:
                inputs = len(read_line(sent, number, meta, max_inputs).request.texts)
            except FreeholdError as error:
                wrong, inputs = wrong + 1, 1
                bad = bad or f"Line {number} of the file is not usable: {error.sentence()}"
            if chunk.lines and chunk.full(inputs, offset + len(sent)):
                spans.append(chunk.span(offset))
                chunk = _Growing(offset, total, number)
            chunk.lines += 1
            chunk.inputs += inputs
            total += 1
        offset += len(sent)
    if bad:
        others = f" {wrong} of its {total} lines are bad." if wrong > 1 else ""
        raise InputError(bad + others, hint="Nothing was accepted and nothing is billed.")
    if not total:
        raise InputError(
            "The file has no lines.", hint='Send a line such as {"inputs": ...} for each request.'
        )
    return [*spans, chunk.span(offset)]


@dataclass(slots=True)
class _Growing:
    """A chunk that is being filled."""

    offset: int
    first: int
    line: int
    lines: int = 0
    inputs: int = 0

    def full(self, inputs: int, end: int) -> bool:
        """Whether one more line, of so many inputs and ending there, is one too many."""
        return self.inputs + inputs > CHUNK_INPUTS or end - self.offset > CHUNK_BYTES

    def span(self, end: int) -> Span:
        return Span(self.offset, end - self.offset, self.first, self.line, self.lines)


def divide(chunk: Chunk, lines: int) -> tuple[Chunk, Chunk]:
    """Its first lines, and the rest of them."""
    sent = chunk.requests.split(b"\n")
    at = seen = 0
    while seen < lines:
        seen += bool(sent[at].strip())
        at += 1
    front, rest = b"\n".join(sent[:at]) + b"\n", b"\n".join(sent[at:])
    return (
        Chunk(chunk.first, chunk.line, lines, front),
        Chunk(chunk.first + lines, chunk.line + at, chunk.lines - lines, rest),
    )


def chunks_of(file: IO[bytes], spans: list[Span]) -> Iterator[Chunk]:
    """The chunks themselves, one at a time."""
    for span in spans:
        file.seek(span.offset)
        yield Chunk(span.first, span.line, span.lines, file.read(span.size))
