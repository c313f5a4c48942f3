"""The Hugging Face contract: what a request to a model may hold, and the shape of its answer.

What is sent back was checked with huggingface_hub's InferenceClient: text-classification answers a
list of labels for each input even where there is one input, token-classification answers the list
of entities itself for a single text. What a task takes and gives stands in its own file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from freehold.errors import InputError
from freehold.serve.ports import ModelMeta
from freehold.tasks.base import Parameters
from freehold.tasks.registry import task_of

__all__ = ["Request", "decode"]

_encode = msgspec.json.Encoder().encode
_ABSENT = (b"", b"null")


@dataclass(frozen=True, slots=True)
class Request:
    """The inputs of a request, and how their answers become the bytes that are sent."""

    texts: tuple[Any, ...]
    render: Callable[[Sequence[Any]], bytes]


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Any
    parameters: msgspec.Raw = msgspec.Raw(b"")
    # Hugging Face's own switches (wait_for_model, use_cache), which older clients send always.
    options: msgspec.Raw = msgspec.Raw(b"")


_body = msgspec.json.Decoder(_Body)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(body: bytes, meta: ModelMeta, max_inputs: int) -> Request:
    """Read a request's body for a model's task. Raises InputError, saying what is wrong."""
    task = task_of(meta.task)
    try:
        found = _body.decode(_inside(body, task.root_fields) if task.root_fields else body)
        given = bytes(found.parameters)
        kind = task.parameters
        parameters = _defaults(kind) if given in _ABSENT else _decoder(kind).decode(given)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(body, error) from None
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8.", hint="Encode the JSON as UTF-8.") from None
    inputs, form = task.inputs(found.inputs)
    task.admit(parameters, meta.max_length)
    if not inputs:
        raise InputError("inputs is an empty list.", hint="Send at least one text.")
    if len(inputs) > max_inputs:
        raise InputError(
            f"The request has {len(inputs)} inputs; this server takes {max_inputs} at once.",
            hint="Send them in several requests.",
        )

    def render(answers: Sequence[Any]) -> bytes:
        return _encode(task.render(answers, parameters, form=form))

    return Request(tuple(inputs), render)


def _inside(body: bytes, beside: frozenset[str]) -> bytes:
    """The body with the parameters that its contract has beside "inputs" moved to the others."""
    found = _object.decode(body)
    moved = {name: found.pop(name) for name in beside & found.keys()}
    if not moved:
        return body
    given = found.get("parameters", msgspec.Raw(b""))
    inside = {} if bytes(given) in _ABSENT else _object.decode(given)
    return _encode({**found, "parameters": {**inside, **moved}})


@functools.cache
def _decoder(parameters: type[Parameters]) -> msgspec.json.Decoder[Parameters]:
    return msgspec.json.Decoder(parameters)


@functools.cache
def _defaults(parameters: type[Parameters]) -> Parameters:
    return parameters()


def _invalid(reason: str) -> InputError:
    """What msgspec found wrong with JSON that is well-formed, in words."""
    expected, _, place = reason.partition(" - at ")
    place = place.strip("`").removeprefix("$").lstrip(".")
    if unknown := re.search(r"unknown field `(.*)`", expected):
        return InputError(
            f"The body has a field {unknown[1][:80]!r} that this model does not know.",
            hint="See /docs for those it knows.",
        )
    if missing := re.search(r"required field `(.*)`", expected):
        return InputError(
            f'The body has no "{missing[1]}".', hint='Send {"inputs": "a text"} or a list of texts.'
        )
    if not place:
        return InputError(
            'The body (or its parameters) is not a JSON object such as {"inputs": "a text"}.'
        )
    said = expected.replace("`", "").replace("Expected", "expected")
    return InputError(f"parameters.{place}: {said}.")


def _malformed(body: bytes, error: Exception) -> InputError:
    if not body:
        return InputError("The body is empty.", hint='Send {"inputs": "a text"}.')
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InputError(f"The body is not JSON: {reason}.", hint="Check quotes and encoding.")
