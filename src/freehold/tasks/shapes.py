"""The shapes of requests and answers: types to check by, and to make the API's schema of."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec
from msgspec import Meta

from freehold.errors import InputError

__all__ = ["TEXTS", "LabelScore", "TopK", "Wire", "read", "said"]

_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


@dataclass(frozen=True)
class Wire:
    """What a task takes and answers over HTTP, in types that `msgspec.json.schema` knows.

    "inputs" holds one `one` or a list of them; `whole` is an object that stands for such a list.
    The response is of one of `answers`. `examples` are some "inputs" with their responses, the
    first of a single input, one more of the `whole`. Where a request has to have parameters,
    `parameters` are those of the examples.
    """

    one: Any
    answers: tuple[Any, ...]
    examples: tuple[tuple[Any, Any], ...]
    whole: Any = None
    parameters: Mapping[str, Any] | None = None

    @functools.cached_property
    def hint(self) -> str:
        """What to send, with an example."""
        first, *others = (
            json.dumps(self.request(inputs), ensure_ascii=False) for inputs, _ in self.examples
        )
        return f"Send {first} or a list of such inputs{''.join(f', or {one}' for one in others)}."

    def request(self, inputs: Any) -> dict[str, Any]:
        """The body of a request with these inputs."""
        beside = {"parameters": self.parameters} if self.parameters else {}
        return {"inputs": inputs, **beside}


TopK = Annotated[
    Annotated[int, Meta(ge=1)] | None,
    Meta(description="the likeliest labels only; all if left out"),
]


class LabelScore(TypedDict):
    label: str
    score: float


TEXTS = Wire(
    one=str,
    answers=(list[list[LabelScore]],),
    examples=(("where is my card", [[{"label": "card_arrival", "score": 0.93}]]),),
)


def read(given: Any, kind: Any, where: str, hint: str) -> Any:
    """JSON values as a type. Raises InputError, whose sentence names the place, from `where` on."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise InputError(said(str(error), where), hint=hint) from None


def said(reason: str, where: str) -> str:
    """What msgspec found wrong, as a sentence about the place in `where`."""
    reason, _, path = reason.partition(" - at ")
    place = (where + path.strip("`").removeprefix("$")).lstrip(".")
    if unknown := re.search(r"unknown field `(.*)`", reason, re.DOTALL):
        return f"{place} has a field {unknown[1][:80]!r} that is not known here."
    if missing := re.search(r"required field `(.*)`", reason):
        return f'{place} has no "{missing[1]}".'
    if value := re.search(r"Invalid enum value (.*)", reason, re.DOTALL):
        return f"{place} cannot be {value[1][:80]}."
    expected = re.fullmatch(r"Expected `(\w+)(?: \| null)?`(.*?)(?:, got `(\w+)`)?", reason)
    if not expected:
        return f"{place} is not usable: {reason[:1].lower()}{reason[1:]}."
    kind, limit, got = expected.groups()
    if kind == "null":
        return f"{place} is not taken."
    return f"{place} is not {_words(kind)}{limit}{f', but {_words(got)}' if got else ''}."


def _words(kind: str) -> str:
    return _WORDS.get(kind, kind)
