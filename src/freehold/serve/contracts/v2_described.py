"""The Open Inference Protocol V2 in the API's own description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freehold.project import Serve
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

__all__ = ["described"]

_MISSING = {"404": "There is no such model or version; the sentence lists those there are."}


def described(settings: Serve, models: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Paths and schemas; `models` are the loaded models' names and tasks."""
    parts = {
        "name": ("A loaded model.", min(models, default="bank")),
        "version": ("The version that has to answer, a number.", "1"),
    }
    paths: dict[str, Any] = {
        "/v2": {"get": operation("v2", "The server, and which extensions it has.", "V2Server")},
        "/v2/health/live": {"get": operation("v2Live", "Whether the process is alive.", "V2Live")},
        "/v2/health/ready": {"get": _ready()},
        "/v2/repository/index": {
            "post": operation("v2Index", "Every loaded version.", "V2Index", key="Error")
        },
    }
    for path, names in (
        ("/v2/models/{name}", ("name",)),
        ("/v2/models/{name}/versions/{version}", ("name", "version")),
    ):
        places = named(*names, of=parts)
        end = "".join(name.capitalize() for name in names)
        paths[path] = {"get": _about(f"v2Model{end}", "A model's tensors.", "V2Model", places)}
        ready = _about(f"v2Ready{end}", "Whether it can be asked now.", "V2ModelReady", places)
        paths[f"{path}/ready"] = {"get": ready}
        config = _about(f"v2Config{end}", "As Triton configures it.", "V2Config", places)
        paths[f"{path}/config"] = {"get": config}
        paths[f"{path}/infer"] = {"post": _infer(f"v2Infer{end}", settings, places)}
    tasks = [task_of(kind) for kind in kinds() if kind in models.values() or not models]
    return paths, _schemas(tasks, settings.max_inputs)


def _ready() -> dict[str, Any]:
    found = operation("v2Ready", "Whether requests can be answered now.", "V2Ready")
    found["responses"] |= errors({"503": "No model, no database, or stopping."})
    return found


def _about(
    identifier: str, summary: str, schema: str, places: list[dict[str, Any]]
) -> dict[str, Any]:
    found = operation(identifier, summary, schema, key="Error", parameters=places)
    found["responses"] |= errors(_MISSING)
    return found


def _infer(identifier: str, settings: Serve, places: list[dict[str, Any]]) -> dict[str, Any]:
    example = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["hello"]}]}
    raw = {"schema": {"type": "string", "format": "binary"}}
    return {
        "operationId": identifier,
        "summary": "Answer one input or several with a model, as tensors.",
        "description": "Answered and recorded before it is sent, like POST /models/NAME. Which "
        "tensors a model has, GET /v2/models/NAME says. Binary tensors follow the JSON, whose "
        "length is then in Inference-Header-Content-Length. The parameter timeout is the time in "
        "microseconds in which the request has to begin.",
        "security": [{"bearer": []}],
        "parameters": [
            *places,
            *HEADERS,
            {
                "name": "Inference-Header-Content-Length",
                "in": "header",
                "required": False,
                "description": "The length of the JSON, where binary tensors follow it.",
                "schema": {"type": "integer", "minimum": 0},
            },
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {settings.max_body_bytes:,} bytes, also when unpacked from "
            "gzip or deflate.",
            "content": {
                "application/json": {
                    "schema": reference("V2Infer"),
                    "examples": {"one text": {"value": example}},
                },
                "application/octet-stream": raw,
            },
        },
        "responses": answered(
            {
                "application/json": {"schema": reference("V2Answer")},
                "application/octet-stream": raw,
            },
            ANSWER_ERRORS,
            "Error",
        ),
    }


def _request(task: Task, max_inputs: int) -> dict[str, Any]:
    """A request whose tensors are in JSON: each of the task's inputs once, all of one length, which
    the shapes repeat; no schema can say the latter."""
    one = _object(
        name={"enum": list(task.columns)},
        datatype={"const": "BYTES"},
        shape={
            "type": "array",
            "prefixItems": [{"type": "integer", "minimum": 1, "maximum": max_inputs}, {"const": 1}],
            "items": False,
            "minItems": 1,
            "description": "[n] or [n, 1]",
        },
        data={
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": max_inputs,
        },
    )
    flag = {"type": ["boolean", "null"]}
    outputs = [
        _strict(
            ["name"],
            name={"const": tensor.name},
            parameters=_strict(
                [],
                binary_data=flag,
                **({"classification": {"type": "integer", "minimum": 0}} if labels else {}),
            ),
        )
        for tensor in task.tensors
        for labels in (tensor.per == "label",)
    ]
    count = len(task.columns)
    each = [{"contains": {"properties": {"name": {"const": name}}}} for name in task.columns]
    return {
        **_strict(
            ["inputs"],
            inputs={
                "type": "array",
                "minItems": count,
                "maxItems": count,
                "items": {**one, "additionalProperties": False},
                "allOf": each,
            },
            outputs={
                "type": ["array", "null"],
                "items": {"anyOf": outputs},
                "description": "Each at most once; all if left out.",
            },
            parameters=_strict([], binary_data_output=flag),
            id={"type": ["string", "null"]},
        ),
        "description": f"Of a {task.kind} model.",
    }


def _schemas(tasks: list[Task], max_inputs: int) -> dict[str, Any]:
    texts = {"type": "array", "items": {"type": "string"}}
    sizes = {"type": "array", "items": {"type": "integer"}}
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string", "enum": ["BYTES", "FP32", "INT32", "BOOL"]},
            "shape": sizes,
            "data": {"type": "array", "description": "Row after row, if it is not binary."},
            "parameters": _object(binary_data_size={"type": "integer", "minimum": 0}),
        },
    }
    flag = {"type": "boolean"}
    word = {"type": "string"}
    return {
        "V2Infer": {"anyOf": [_request(task, max_inputs) for task in tasks]},
        "V2Tensor": tensor,
        "V2Answer": {
            **_object(
                model_name=word,
                model_version=word,
                outputs={"type": "array", "items": reference("V2Tensor")},
            ),
            "description": "`id` comes back where the request had one.",
        },
        "V2Server": _object(name=word, version=word, extensions=texts),
        "V2Live": _object(live=flag),
        "V2Ready": _object(ready=flag),
        "V2ModelReady": _object(name=word, ready=flag),
        "V2Model": _object(
            name=word,
            versions=texts,
            platform=word,
            inputs={"type": "array", "items": reference("V2Tensor")},
            outputs={"type": "array", "items": reference("V2Tensor")},
            parameters={"type": "object"},
        ),
        "V2Config": _object(
            name=word,
            platform=word,
            backend=word,
            max_batch_size={"type": "integer"},
            input={"type": "array", "items": {"type": "object"}},
            output={"type": "array", "items": {"type": "object"}},
        ),
        "V2Index": {
            "type": "array",
            "items": _object(name=word, version=word, state=word, reason=word),
        },
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _strict(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object that has no other properties; null in its place where none is required."""
    found: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    if required:
        return {**found, "required": required}
    return {**found, "type": ["object", "null"]}  # all of it may be left out
