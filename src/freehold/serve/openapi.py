"""The API's own description: the OpenAPI document that /openapi.json and /docs show."""

from __future__ import annotations

from typing import Any

from freehold import __version__
from freehold.project import Serve

__all__ = ["document"]


def document(settings: Serve, examples: dict[str, str]) -> dict[str, Any]:
    """The OpenAPI 3.1 document; `examples` are the loaded models' names and tasks."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Freehold",
            "version": __version__,
            "description": "Texts in, labels or entities out, in the Hugging Face shape. Every "
            "answer that leaves is metered once; a retry with the same Idempotency-Key is not "
            "billed again.",
        },
        "paths": {
            "/models/{name}": {"post": _answer(settings, examples)},
            "/models": {"get": _models()},
            "/health": {"get": _operation("health", "Whether the process is alive.", "Status")},
            "/ready": {"get": _ready()},
            "/metrics": {"get": _metrics()},
        },
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `fh_...`; a revoked one is refused within seconds.",
                }
            },
            "schemas": _schemas(settings),
            "headers": _headers(),
        },
    }


def _answer(settings: Serve, examples: dict[str, str]) -> dict[str, Any]:
    name = next(iter(sorted(examples)), "bank")
    return {
        "operationId": "answer",
        "summary": "Answer one text or several with a model.",
        "description": "Answered and recorded before it is sent. With an Idempotency-Key the same "
        "request is answered with the same bytes forever and billed once.",
        "security": [{"bearer": []}],
        "parameters": [
            {
                "name": "name",
                "in": "path",
                "required": True,
                "description": "A loaded model, or one of its versions: bank, bank@3.",
                "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
                "example": name,
            },
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "One to 255 visible ASCII characters, new for each new request.",
                "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
            },
        ],
        "requestBody": {
            "required": True,
            "description": f"At most {settings.max_body_bytes:,} bytes.",
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Request"},
                    "examples": {
                        "one": {"value": {"inputs": "where is my card"}},
                        "several": {
                            "value": {
                                "inputs": ["where is my card", "cancel my order"],
                                "parameters": {"top_k": 1},
                            }
                        },
                    },
                }
            },
        },
        "responses": {
            "200": {
                "description": "Of text-classification a list of labels an input, likeliest first; "
                "of token-classification the entities of the text, or a list of them a text.",
                "headers": {
                    **_header_refs("X-Request-Id"),
                    **_header_refs("Idempotency-Replayed"),
                },
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Answer"},
                        "example": [[{"label": "card_arrival", "score": 0.93}]],
                    }
                },
            },
            **_errors(
                {
                    "400": "The request is not HTTP.",
                    "401": "The API key is missing, malformed, unknown or revoked.",
                    "403": "The customer has no running subscription.",
                    "404": "There is no such model; the sentence lists those there are.",
                    "409": "The Idempotency-Key was used for another path or body.",
                    "413": "The body, or what it asks for, is larger than this server takes.",
                    "422": "The body or the Idempotency-Key is not usable; the sentence says why.",
                    "429": "Too much is waiting; try again after Retry-After seconds.",
                    "500": "The server failed.",
                    "503": "The answer cannot be recorded now, or the server is stopping.",
                }
            ),
        },
    }


def _models() -> dict[str, Any]:
    operation = _operation("models", "The loaded models.", "Models")
    operation["security"] = [{"bearer": []}]
    operation["responses"] |= _errors(
        {
            "401": "The API key is not valid.",
            "403": "The customer has no running subscription.",
            "503": "The key cannot be checked now.",
        }
    )
    return operation


def _ready() -> dict[str, Any]:
    operation = _operation("ready", "Whether requests can be answered now.", "Status")
    operation["responses"] |= _errors({"503": "No model, no database, or stopping."})
    return operation


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


def _operation(identifier: str, summary: str, schema: str) -> dict[str, Any]:
    return {
        "operationId": identifier,
        "summary": summary,
        "responses": {
            "200": {
                "description": summary,
                "headers": _header_refs("X-Request-Id"),
                "content": {
                    "application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}
                },
            }
        },
    }


def _errors(statuses: dict[str, str]) -> dict[str, Any]:
    found = {}
    for status, description in statuses.items():
        headers = _header_refs("X-Request-Id")
        if status in ("429", "503"):
            headers |= _header_refs("Retry-After")
        found[status] = {
            "description": description,
            "headers": headers,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    return found


def _header_refs(name: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"}}


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
    }


def _schemas(settings: Serve) -> dict[str, Any]:
    label = {
        "type": "object",
        "required": ["label", "score"],
        "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
    }
    entity = {
        "type": "object",
        "required": ["score", "word", "start", "end"],
        "properties": {
            "entity_group": {"type": "string", "description": "The type of adjacent words."},
            "entity": {"type": "string", "description": "A word's tag (strategy none)."},
            "score": {"type": "number"},
            "word": {"type": "string"},
            "start": {"type": "integer", "description": "First character."},
            "end": {"type": "integer", "description": "One behind the last character."},
        },
    }
    entities = {"type": "array", "items": {"$ref": "#/components/schemas/Entity"}}
    return {
        "Request": {
            "type": "object",
            "required": ["inputs"],
            "additionalProperties": False,
            "properties": {
                "inputs": {
                    "oneOf": [
                        {"type": "string"},
                        {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": settings.max_inputs,
                            "items": {"type": "string"},
                        },
                    ]
                },
                "parameters": {"$ref": "#/components/schemas/Parameters"},
                "options": {"description": "Hugging Face's switches; without effect here."},
            },
        },
        "Parameters": _parameters(),
        "Label": label,
        "Entity": entity,
        "Answer": {
            "anyOf": [
                {
                    "type": "array",
                    "items": {
                        "type": "array",
                        "items": {"$ref": "#/components/schemas/Label"},
                    },
                },
                entities,
                {"type": "array", "items": entities},
            ]
        },
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
                "task": {"type": "string"},
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


def _parameters() -> dict[str, Any]:
    return {
        "type": ["object", "null"],
        "description": "Those of the model's task; others are refused.",
        "additionalProperties": False,
        "properties": {
            "top_k": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "text-classification: the likeliest labels only; all if left out.",
            },
            "function_to_apply": {
                "enum": ["softmax", None],
                "description": "text-classification: scores are calibrated probabilities.",
            },
            "aggregation_strategy": {
                "enum": ["none", "simple", "first", "average", "max", None],
                "description": "token-classification: none lists words with their tags, the others "
                "entities; each word has one prediction, so these come to the same.",
            },
            "ignore_labels": {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "description": "token-classification: what to leave out; O if left out.",
            },
            "stride": {"enum": [0, None], "description": "Not taken."},
        },
    }
