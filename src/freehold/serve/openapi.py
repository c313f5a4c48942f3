"""The API's own description: the OpenAPI document that /openapi.json and /docs show.

What the models take and answer is told by their tasks, whose types become its schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold import __version__
from freehold.project import Serve
from freehold.serve.batches import described as batches
from freehold.serve.contracts import contracts
from freehold.serve.describe import (
    ANSWER_ERRORS,
    HEADERS,
    answered,
    errors,
    named,
    operation,
    reference,
)
from freehold.tasks.base import Task
from freehold.tasks.registry import kinds, task_of
from freehold.tasks.zero_shot import ZeroShot

__all__ = ["document"]


_REFERENCE = "#/components/schemas/{name}"
_OPTIONS = {"description": "Hugging Face's switches; without effect here."}


def document(settings: Serve, models: Mapping[str, str]) -> dict[str, Any]:
    """The OpenAPI 3.1 document; `models` are the loaded models' names and tasks. It describes the
    requests of their tasks, and of all where no model is loaded."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for contract in contracts():
        more, parts = contract.described(settings, models)
        paths |= more
        schemas |= parts
    tasks = [task_of(kind) for kind in kinds() if kind in models.values() or not models]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Freehold",
            "version": __version__,
            "description": "Texts in, answers out, in the Hugging Face shape. Every "
            "answer that leaves is metered once; a retry with the same Idempotency-Key is not "
            "billed again.",
        },
        "paths": {
            "/models/{name}": {"post": _answer(settings, tasks, min(models, default="bank"))},
            "/models": {"get": operation("models", "The loaded models.", "Models", key="Error")},
            **batches.paths(settings, errors, min(models, default="bank")),
            "/health": {"get": operation("health", "Whether the process is alive.", "Status")},
            "/ready": {"get": _ready()},
            "/metrics": {"get": _metrics()},
            **paths,
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `fh_...`; a revoked one is refused within seconds.",
                }
            },
            "schemas": {
                **_task_schemas(tasks, settings.max_inputs),
                **_SCHEMAS,
                **batches.SCHEMAS,
                **schemas,
            },
            "headers": _headers(),
        },
    }


def _answer(settings: Serve, tasks: list[Task], name: str) -> dict[str, Any]:
    return {
        "operationId": "answer",
        "summary": "Answer one input or several with a model.",
        "description": "Answered and recorded before it is sent. With an Idempotency-Key the same "
        "request is answered with the same bytes forever and billed once. X-Timeout-Ms is the time "
        "in milliseconds in which it has to begin.",
        "security": [{"bearer": []}],
        "parameters": [
            *named("name", of={"name": ("A loaded model, or one of its versions, bank@3.", name)}),
            *HEADERS,
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {settings.max_body_bytes:,} bytes.",
            "content": {
                "application/json": {
                    "schema": reference("Request"),
                    "examples": _examples(tasks),
                }
            },
        },
        "responses": answered(
            {
                "application/json": {
                    "schema": reference("Answer"),
                    "example": tasks[0].wire.examples[0][1],
                }
            },
            ANSWER_ERRORS,
            "Error",
        ),
    }


def _ready() -> dict[str, Any]:
    found = operation("ready", "Whether requests can be answered now.", "Status")
    found["responses"] |= errors({"503": "No model, no database, or stopping."})
    return found


def _metrics() -> dict[str, Any]:
    return {
        "operationId": "metrics",
        "summary": "Figures for Prometheus.",
        "responses": {
            "200": {
                "description": "Prometheus' text format.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    }


def _headers() -> dict[str, Any]:
    return {
        "X-Request-Id": {
            "description": "Of this request, in every response; the usage event carries it.",
            "schema": {"type": "string"},
        },
        "Idempotency-Replayed": {
            "description": "`true` where the answer was given before and is not billed again.",
            "schema": {"type": "string", "const": "true"},
        },
        "Retry-After": {
            "description": "Whole seconds after which to try again.",
            "schema": {"type": "integer", "minimum": 1},
        },
        "RateLimit": {
            "description": "What is left of each limit (r) and in how many seconds all of it is "
            "free again (t); only for keys with limits.",
            "schema": {"type": "string"},
        },
        "RateLimit-Policy": {
            "description": "Each limit (q) of units (qu; requests, if not named) in a window of "
            "seconds (w); only for keys with limits.",
            "schema": {"type": "string"},
        },
    }


def _examples(tasks: list[Task]) -> dict[str, Any]:
    """Bodies of requests, by the name of the task."""
    found = {}
    for task in tasks:
        (first, _), *others = task.wire.examples
        found[task.kind] = {"value": {"inputs": first}}
        found[f"{task.kind}, several"] = {"value": {"inputs": [first, first]}}
        for inputs, _ in others:
            found[f"{task.kind}, compared"] = {"value": {"inputs": inputs}}
        if task.zero_shot:
            wire = task.zero_shot.wire
            value = wire.request(wire.examples[0][0])
            found[f"{task.kind}, asked for {task.zero_shot.kind}"] = {"value": value}
    return found


def _task_schemas(tasks: list[Task], max_inputs: int) -> dict[str, Any]:
    """XRequest and XAnswer of each task, the types they are made of, and Request and Answer, which
    are any of them."""
    asked: list[Task | ZeroShot] = [*tasks, *(task.zero_shot for task in tasks if task.zero_shot)]
    types = [kind for one in asked for kind in _types(one)]
    # All at once: of two types of one name each then gets a longer one.
    found, parts = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    known = dict(zip(types, found, strict=True))
    schemas: dict[str, Any] = {}
    for task in tasks:
        request = _request(task, max_inputs, known, task.root_fields)
        answers = [known[kind] for kind in task.wire.answers]
        if task.zero_shot:
            request = _any([request, _request(task.zero_shot, max_inputs, known)])
            answers += [known[kind] for kind in task.zero_shot.wire.answers]
        schemas[f"{_name(task)}Request"] = request
        schemas[f"{_name(task)}Answer"] = _any(answers)
    for end in ("Request", "Answer"):
        schemas[end] = _any([{"$ref": _REFERENCE.format(name=_name(t) + end)} for t in tasks])
    return schemas | parts


def _types(asked: Task | ZeroShot) -> list[Any]:
    wire = asked.wire
    return [wire.one, *([wire.whole] if wire.whole else []), *wire.answers, asked.parameters]


def _request(
    asked: Task | ZeroShot,
    max_inputs: int,
    known: Mapping[Any, Any],
    root_fields: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    one = known[asked.wire.one]
    several = {"type": "array", "minItems": 1, "maxItems": max_inputs, "items": one}
    whole = [known[asked.wire.whole]] if asked.wire.whole else []
    needed = asked.wire.parameters is not None
    parameters = known[asked.parameters]
    properties = {
        "inputs": _any([one, several, *whole]),
        "parameters": parameters if needed else _any([parameters, {"type": "null"}]),
        "options": _OPTIONS,
    }
    described = msgspec.json.schema(asked.parameters)["$defs"][asked.parameters.__name__]
    beside = {name: described["properties"][name] for name in sorted(root_fields)}
    return {
        "type": "object",
        "description": f"Of a {asked.kind} model.",
        "required": ["inputs", "parameters"] if needed else ["inputs"],
        "additionalProperties": False,
        "properties": properties | beside,
    }


def _any(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _name(task: Task) -> str:
    """text-classification: TextClassification."""
    return "".join(part.capitalize() for part in task.kind.split("-"))


_SCHEMAS: dict[str, Any] = {
    "Models": {
        "type": "object",
        "required": ["models"],
        "properties": {
            "models": {"type": "array", "items": {"$ref": "#/components/schemas/Model"}}
        },
    },
    "Model": {
        "type": "object",
        "required": ["name", "model", "version", "task", "labels", "max_length"],
        "properties": {
            "name": {"type": "string", "description": "What to put into the path."},
            "model": {"type": "string"},
            "version": {"type": "integer"},
            "task": {"type": "string", "description": "Says which request and answer it has."},
            "labels": {"type": "array", "items": {"type": "string"}},
            "max_length": {"type": "integer", "description": "Tokens of a text that are read."},
        },
    },
    "Status": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string"}},
    },
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string", "description": "One or two sentences."}},
    },
}
