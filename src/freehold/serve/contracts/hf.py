"""The Hugging Face contract: what a request to /models/NAME may hold, and the shape of its answer.

What is sent back was checked with huggingface_hub's InferenceClient: text-classification answers a
list of labels for each input even where there is one input, token-classification answers the list
of entities itself for a single text. What a task takes and gives stands in its own file.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi import FastAPI

from freehold.errors import InputError
from freehold.serve.asked import Asked
from freehold.serve.contracts.base import Contract, Find, Request, check_count, posts
from freehold.serve.ports import EncodedText, ModelEngine, ModelMeta
from freehold.tasks.base import Task
from freehold.tasks.registry import task_of
from freehold.tasks.shapes import read, said
from freehold.tasks.zero_shot import ASKED_BY, ZeroShot

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
    try:
        request = _decode(body, meta)
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8.", hint="Encode the JSON as UTF-8.") from None
    if not request.texts:
        raise InputError("inputs is an empty list.", hint=task_of(meta.task).wire.hint)
    check_count(request, max_inputs)
    return request


def _decode(body: bytes, meta: ModelMeta) -> Request:
    task = task_of(meta.task)
    try:
        found = _body.decode(_inside(body, task.root_fields) if task.root_fields else body)
    except msgspec.ValidationError as error:
        raise _not_a_body(str(error), task) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _malformed(body, error, task) from None
    given = bytes(found.parameters)
    if task.zero_shot is not None and ASKED_BY in _names(given):
        return _zero_shot(found.inputs, given, task.zero_shot, meta)
    return _plain(found.inputs, given, task)


def _plain(given: Any, raw: bytes, task: Task) -> Request:
    parameters = _parameters(raw, task.parameters, task.root_fields)
    inputs, form = task.inputs(given)

    def admit(encoded: Sequence[EncodedText]) -> None:
        task.admit(parameters, encoded)

    def render(answers: Sequence[Any]) -> bytes:
        return _encode(task.render(answers, parameters, form=form))

    return Request(tuple(inputs), admit, render)


def _zero_shot(given: Any, raw: bytes, how: ZeroShot, meta: ModelMeta) -> Request:
    """Labels of the request instead of the model's: each text and each label cost what the model
    has to read for them, and count as so many inputs."""
    asked = _parameters(raw, how.parameters)
    single = not isinstance(given, list)
    texts = read([given] if single else given, list[str], "inputs", how.wire.hint)
    form: Literal["single", "list"] = "single" if single else "list"

    def render(answers: Sequence[Any]) -> bytes:
        return _encode(how.render(answers, len(texts), asked, form))

    inputs = how.inputs(texts, asked, meta.labels) if texts else []
    return Request(tuple(inputs), lambda encoded: None, render)


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


def _names(parameters: bytes) -> Collection[str]:
    """Which parameters were given; none where they are no object, which is refused later."""
    return _object.decode(parameters) if parameters[:1] == b"{" else ()


def _parameters(
    given: bytes, kind: type[msgspec.Struct], beside: frozenset[str] = frozenset()
) -> Any:
    if given in _ABSENT:
        return _defaults(kind)
    try:
        return _decoder(kind).decode(given)
    except msgspec.ValidationError as error:
        _, _, path = str(error).partition(" - at `$.")
        name = path.strip("`").partition("[")[0]
        where = "" if name in beside else "parameters"
        raise InputError(said(str(error), where), hint=_about(name, kind)) from None


def _about(name: str, kind: type[msgspec.Struct]) -> str:
    """What a parameter is, or which there are."""
    described: dict[str, Any] = msgspec.json.schema(kind)["$defs"][kind.__name__]["properties"]
    if name in described:
        return f"{name}: {described[name]['description']}."
    known = ", ".join(described)
    return f"It may have {known}." if known else "This model takes none."


@functools.cache
def _decoder(parameters: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(parameters)


@functools.cache
def _defaults(parameters: type[msgspec.Struct]) -> Any:
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
