"""The Hugging Face contract: what a request to /models/NAME may hold, and the shape of its answer.

What is sent back was checked with huggingface_hub's InferenceClient: text-classification answers a
list of labels for each input even where there is one input, token-classification answers the list
of entities itself for a single text. What a task takes and gives stands in its own file.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import FastAPI

from freehold.errors import InputError
from freehold.serve.asked import Asked
from freehold.serve.contracts.base import Contract, Find, Request, posts
from freehold.serve.ports import EncodedText, ModelEngine, ModelMeta
from freehold.tasks.base import Parameters, Task
from freehold.tasks.registry import task_of
from freehold.tasks.shapes import said

if TYPE_CHECKING:
    from freehold.serve.factory import Service

__all__ = ["CONTRACT", "HuggingFace", "decode"]

_encode = msgspec.json.Encoder().encode
_ABSENT = (b"", b"null")


class HuggingFace(Contract):
    prefix = "/models/"
    order = 0

    def asks(self, path: str) -> bool:
        return path.startswith("/models/")

    def routes(self, app: FastAPI, service: Service) -> None:
        posts(app, "/models/{name:path}")

    def read(self, asked: Asked, find: Find, max_inputs: int) -> tuple[ModelEngine, Request]:
        engine = find(asked.path[len("/models/") :], asked.caller)
        return engine, decode(asked.body, engine.meta, max_inputs)


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
    except msgspec.ValidationError as error:
        raise _not_a_body(str(error), task) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(body, error, task) from None
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8.", hint="Encode the JSON as UTF-8.") from None
    parameters = _parameters(bytes(found.parameters), task)
    inputs, form = task.inputs(found.inputs)
    if not inputs:
        raise InputError("inputs is an empty list.", hint=task.wire.hint)
    if len(inputs) > max_inputs:
        raise InputError(
            f"The request has {len(inputs)} inputs; this server takes {max_inputs} at once.",
            hint="Send them in several requests.",
        )

    def admit(encoded: Sequence[EncodedText]) -> None:
        task.admit(parameters, encoded)

    def render(answers: Sequence[Any]) -> bytes:
        return _encode(task.render(answers, parameters, form=form))

    return Request(tuple(inputs), admit, render)


def _inside(body: bytes, beside: frozenset[str]) -> bytes:
    """The body with the parameters that its contract has beside "inputs" moved to the others."""
    found = _object.decode(body)
    moved = {name: found.pop(name) for name in beside & found.keys()}
    if not moved:
        return body
    given = bytes(found.get("parameters", msgspec.Raw(b"")))
    if given not in _ABSENT and given[:1] != b"{":
        raise InputError("parameters is not an object.", hint="Leave it out.")
    inside = {} if given in _ABSENT else _object.decode(given)
    return _encode({**found, "parameters": {**inside, **moved}})


def _parameters(given: bytes, task: Task) -> Parameters:
    kind = task.parameters
    if given in _ABSENT:
        return _defaults(kind)
    try:
        return _decoder(kind).decode(given)
    except msgspec.ValidationError as error:
        _, _, path = str(error).partition(" - at `$.")
        name = path.strip("`").partition("[")[0]
        where = "" if name in task.root_fields else "parameters"
        raise InputError(said(str(error), where), hint=_about(name, kind)) from None


def _about(name: str, kind: type[Parameters]) -> str:
    """What a parameter is, or which there are."""
    described: dict[str, Any] = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    if name in described:
        return f"{name}: {described[name]['description']}."
    known = ", ".join(described)
    return f"It may have {known}." if known else "This model takes none."


@functools.cache
def _decoder(parameters: type[Parameters]) -> msgspec.json.Decoder[Parameters]:
    return msgspec.json.Decoder(parameters)


@functools.cache
def _defaults(parameters: type[Parameters]) -> Parameters:
    return parameters()


def _not_a_body(reason: str, task: Task) -> InputError:
    """What msgspec found wrong with JSON that is well-formed, in words."""
    if reason.startswith("Expected `object`"):
        return InputError("The body is not a JSON object.", hint=task.wire.hint)
    return InputError(said(reason, "The body"), hint=task.wire.hint)


def _malformed(body: bytes, error: Exception, task: Task) -> InputError:
    if not body:
        return InputError("The body is empty.", hint=task.wire.hint)
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return InputError(f"The body is not JSON: {reason}.", hint="Check quotes and encoding.")


CONTRACT = HuggingFace()
