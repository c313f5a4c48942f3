"""OpenAI's contract in the API's own description."""

from __future__ import annotations

from typing import Any

from freehold.project import Serve
from freehold.serve.describe import ANSWER_ERRORS, HEADERS, answered, errors, named, operation
from freehold.serve.describe import reference as ref

__all__ = ["described"]

_MISSING = {"404": "There is no such model; the sentence lists those there are."}


def described(settings: Serve, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Paths and schemas; `model` for the examples."""
    places = named("name", of={"name": ("A loaded model, or one of its versions.", model)})
    models = operation("openaiModels", "The loaded models.", "OpenAIModels", key="OpenAIError")
    one = operation(
        "openaiModel", "One model.", "OpenAIModel", key="OpenAIError", parameters=places
    )
    one["responses"] |= errors(_MISSING, "OpenAIError")
    paths = {
        "/v1/embeddings": {"post": _embeddings(settings, model)},
        "/v1/models": {"get": models},
        "/v1/models/{name}": {"get": one},
    }
    return paths, _schemas(settings)


def _embeddings(settings: Serve, model: str) -> dict[str, Any]:
    statuses = {**ANSWER_ERRORS, "400": "The body or the Idempotency-Key is not usable."}
    del statuses["422"]
    return {
        "operationId": "openaiEmbeddings",
        "summary": "Vectors of one text or several.",
        "description": "Answered and recorded before it is sent, like POST /models/NAME.",
        "security": [{"bearer": []}],
        "parameters": HEADERS,
        "requestBody": {
            "required": True,
            "description": f"At most {settings.max_body_bytes:,} bytes.",
            "content": {
                "application/json": {
                    "schema": ref("OpenAIEmbeddings"),
                    "examples": {
                        "one text": {"value": {"model": model, "input": "where is my card"}}
                    },
                }
            },
        },
        "responses": answered(
            {"application/json": {"schema": ref("OpenAIVectors")}}, statuses, "OpenAIError"
        ),
    }


def _schemas(settings: Serve) -> dict[str, Any]:
    word: dict[str, Any] = {"type": "string"}
    whole = {"type": "integer"}
    maybe = {"type": ["string", "null"]}
    texts = {"type": "array", "minItems": 1, "maxItems": settings.max_inputs, "items": word}
    vector = {
        "anyOf": [
            {"type": "array", "items": {"type": "number"}},
            {"type": "string", "description": "Little-endian float32 in base64."},
        ]
    }
    row = _object(object={"const": "embedding"}, index=whole, embedding=vector)
    return {
        "OpenAIEmbeddings": {
            "type": "object",
            "required": ["model", "input"],
            "additionalProperties": False,
            "properties": {
                "model": {**word, "description": "A loaded model for sentence-embedding."},
                "input": {"anyOf": [word, texts]},
                "encoding_format": {"enum": ["float", "base64", None]},
                "dimensions": {"type": "null", "description": "Vectors cannot be cut."},
                "user": {**maybe, "description": "Without effect."},
            },
        },
        "OpenAIVectors": _object(
            object={"const": "list"},
            data={"type": "array", "items": row},
            model=word,
            usage=_object(prompt_tokens=whole, total_tokens=whole),
        ),
        "OpenAIModel": _object(id=word, object={"const": "model"}, created=whole, owned_by=word),
        "OpenAIModels": _object(
            object={"const": "list"}, data={"type": "array", "items": ref("OpenAIModel")}
        ),
        "OpenAIError": _object(error=_object(message=word, type=word, param=maybe, code=maybe)),
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}
