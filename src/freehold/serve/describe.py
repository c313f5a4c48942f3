"""What the descriptions of all contracts share in the OpenAPI document."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ANSWER_ERRORS",
    "HEADERS",
    "KEY_ERRORS",
    "answered",
    "errors",
    "named",
    "operation",
    "reference",
]

KEY_ERRORS = {
    "401": "The API key is missing, malformed, unknown, expired or revoked.",
    "403": "The customer has no running subscription.",
    "503": "The key cannot be checked now.",
}
ANSWER_ERRORS = {
    "400": "The request is not HTTP.",
    "401": "The API key is missing, malformed, unknown, expired or revoked.",
    "402": "The prepaid wallet does not hold enough.",
    "403": "The API key is for other models, or without a subscription.",
    "404": "There is no such model; the sentence lists those there are.",
    "409": "The Idempotency-Key was used for another path or body.",
    "413": "The body, or what it asks for, is larger than this server takes.",
    "422": "The body or the Idempotency-Key is not usable; the sentence says why.",
    "429": "A limit is reached, or too much is waiting; see Retry-After.",
    "500": "The server failed.",
    "503": "The answer cannot be recorded now, or the server is stopping.",
    "504": "The request had not begun when its time was over.",
}
# Of every request to a model; X-Timeout-Ms is told in words, as whoever tries it out gets 504s.
HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "One to 255 visible ASCII characters, new for each new request.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
]


def reference(schema: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{schema}"}


def header_refs(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def operation(
    identifier: str, summary: str, schema: str, *, key: str | None = None, **more: Any
) -> dict[str, Any]:
    """One that answers with a schema of the document. If it needs a key, `key` is the schema of
    its errors."""
    found = {
        "operationId": identifier,
        "summary": summary,
        "responses": {
            "200": {
                "description": summary,
                "headers": header_refs("X-Request-Id"),
                "content": {"application/json": {"schema": reference(schema)}},
            }
        },
        **more,
    }
    if key is not None:
        found["security"] = [{"bearer": []}]
        found["responses"] |= errors(KEY_ERRORS, key)
    return found


def answered(content: dict[str, Any], statuses: dict[str, str], error: str) -> dict[str, Any]:
    """The responses of a path that asks a model."""
    return {
        "200": {
            "description": "What the model's task answers.",
            "headers": header_refs(
                "X-Request-Id", "Idempotency-Replayed", "RateLimit", "RateLimit-Policy"
            ),
            "content": content,
        },
        **errors(statuses, error),
    }


def errors(statuses: dict[str, str], schema: str = "Error") -> dict[str, Any]:
    found = {}
    for status, description in statuses.items():
        headers = header_refs("X-Request-Id")
        if status in ("429", "503"):
            headers |= header_refs("Retry-After")
        if status == "429":
            headers |= header_refs("RateLimit", "RateLimit-Policy")
        found[status] = {
            "description": description,
            "headers": headers,
            "content": {"application/json": {"schema": reference(schema)}},
        }
    return found


def named(*names: str, of: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Parts of a path that have to be given; `of` their description and an example."""
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": of[name][0],
            "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
            "example": of[name][1],
        }
        for name in names
    ]
