"""The paths of batches in the API's description, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from freehold.project import Serve

__all__ = ["SCHEMAS", "paths"]

_ID = {
    "name": "batch_id",
    "in": "path",
    "required": True,
    "description": "The batch's id.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_]+$"},
}
_COMMON = {
    "401": "The API key is missing, malformed, unknown or revoked.",
    "403": "The customer has no running subscription.",
    "503": "The database does not answer, or the server is stopping.",
}
_UNKNOWN = {"404": "There is no such batch of this customer."}
_QUERY = {"422": "A parameter is not usable; the sentence says why."}
_EXAMPLE = '{"id": "a-1", "inputs": "where is my card"}\n{"id": "a-2", "inputs": "and my refund"}\n'
_RESULT = '{"id": "a-1", "line": 1, "output": [[{"label": "arrival", "score": 0.98}]]}\n'

Errors = Callable[[dict[str, str]], dict[str, Any]]


def paths(settings: Serve, errors: Errors, name: str) -> dict[str, Any]:
    """The paths; `errors` gives the responses of statuses and why, `name` is a loaded model."""
    return {
        "/batches": {"post": _submit(settings, errors, name), "get": _list(errors)},
        "/batches/{batch_id}": {
            "get": _operation(
                "batch", "How a batch stands.", errors(_COMMON | _UNKNOWN), {"200": _batch()}
            ),
            "delete": _operation(
                "removeBatch",
                "Remove the texts and results of a batch that is over.",
                errors(_COMMON | _UNKNOWN | {"409": "It is not over: cancel it first."}),
                {"204": {"description": "They are gone."}},
            ),
        },
        "/batches/{batch_id}/results": {"get": _results(errors)},
        "/batches/{batch_id}/events": {"get": _events(errors)},
        "/batches/{batch_id}/cancel": {
            "post": _operation(
                "cancelBatch",
                "End a batch now; what is done stays, the rest is not billed.",
                errors(_COMMON | _UNKNOWN | {"409": "It is over."}),
                {"200": _batch()},
            )
        },
    }


def _operation(
    identifier: str,
    summary: str,
    errors: dict[str, Any],
    responses: dict[str, Any],
    *parameters: dict[str, Any],
    of_batch: bool = True,
) -> dict[str, Any]:
    return {
        "operationId": identifier,
        "summary": summary,
        "security": [{"bearer": []}],
        "parameters": [*([_ID] if of_batch else []), *parameters],
        "responses": responses | errors,
    }


def _submit(settings: Serve, errors: Errors, name: str) -> dict[str, Any]:
    refused = {
        "404": "There is no such model; the sentence lists those there are.",
        "409": "The Idempotency-Key was used for a batch with another model or file.",
        "413": f"The file has more than {settings.batch_max_bytes:,} bytes or "
        f"{settings.batch_max_lines:,} lines, or a line is longer than a request may be.",
        "422": "A line is not usable: the sentence names the first and says how many are bad.",
        "429": "Too many batches of this customer are not over, or too many files come at once.",
    }
    accepted = _batch("It is accepted; Location is where to look.")
    accepted["headers"] = {
        "Location": {"schema": {"type": "string"}},
        "Idempotency-Replayed": {"$ref": "#/components/headers/Idempotency-Replayed"},
    }
    operation = _operation(
        "submitBatch",
        "Have a file of requests answered when there is room.",
        errors(_COMMON | refused),
        {"202": accepted},
        {
            "name": "model",
            "in": "query",
            "required": True,
            "description": "A loaded model, or one of its versions. The version that answers now "
            "answers the whole batch.",
            "schema": {"type": "string", "minLength": 1},
            "example": name,
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Sent again with it, the same file makes no second batch.",
            "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
        },
        of_batch=False,
    )
    operation["requestBody"] = {
        "required": True,
        "description": "A line is a request as `POST /models/{name}` takes it, and may have an "
        "`id`. Any Content-Type will do.",
        "content": {"application/jsonl": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
    return operation


def _list(errors: Errors) -> dict[str, Any]:
    reference = {"$ref": "#/components/schemas/Batches"}
    return _operation(
        "batches",
        "The customer's batches, newest first.",
        errors(_COMMON | _QUERY | {"404": "There is no batch as in `after`."}),
        {
            "200": {
                "description": "The batches.",
                "content": {"application/json": {"schema": reference}},
            }
        },
        _count("limit", "How many.", least=1, most=100),
        {
            "name": "after",
            "in": "query",
            "description": "The last batch of the page before.",
            "schema": {"type": "string"},
        },
        of_batch=False,
    )


def _results(errors: Errors) -> dict[str, Any]:
    return _operation(
        "batchResults",
        "What has been answered so far, in the order of the lines.",
        errors(_COMMON | _UNKNOWN | _QUERY),
        {
            "200": {
                "description": "JSONL: `id`, `line` (from 1) and `output` or `error` of each line.",
                "headers": {
                    "Batch-Status": {
                        "description": "The batch's; unless it is `done`, results may be missing.",
                        "schema": {"type": "string"},
                    },
                    "Batch-Lines": {
                        "description": "Answered lines and all, such as 128/1000.",
                        "schema": {"type": "string"},
                    },
                },
                "content": {
                    "application/jsonl": {"schema": {"type": "string"}, "example": _RESULT}
                },
            }
        },
        _count("offset", "Lines to leave out at the beginning, blank ones not counted."),
        _count("limit", "How many lines at most."),
    )


def _events(errors: Errors) -> dict[str, Any]:
    return _operation(
        "batchEvents",
        "Progress as server-sent events: `progress` each time, then `end`.",
        errors(
            _COMMON
            | _UNKNOWN
            | {
                "422": "Last-Event-ID is not a number.",
                "429": "Too many streams are open.",
            }
        ),
        {
            "200": {
                "description": "Each event's data is the batch, as GET /batches/{batch_id} has it.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "204": {"description": "The batch is over and the client has seen its last event."},
        },
        {
            "name": "Last-Event-ID",
            "in": "header",
            "description": "What came before and with this event is not told again.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
        },
    )


def _count(name: str, description: str, *, least: int = 0, most: int = 10**12) -> dict[str, Any]:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _batch(description: str = "The batch.") -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Batch"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _field(kind: str, description: str, *, null: bool = False) -> dict[str, Any]:
    return {"type": [kind, "null"] if null else kind, "description": description}


_FIELDS: dict[str, Any] = {
    "id": {"type": "string"},
    "status": {
        "enum": ["queued", "running", "paused", "done", "failed", "cancelled"],
        "description": "A paused batch goes on by itself once what is missing is there.",
    },
    "error": _field("string", "Why it is paused or failed.", null=True),
    "model": {"type": "string"},
    "version": _field("integer", "The version that answers all of it."),
    "total": _field("integer", "Lines, blank ones not counted."),
    "done": _field("integer", "Lines that are answered and billed."),
    "failed": _field("integer", "Lines with an error for an answer; they are not billed."),
    "eta_seconds": _field("number", "Of work that is left, at the pace so far.", null=True),
    "created_at": {"type": "string"},
    "started_at": {"type": ["string", "null"]},
    "ended_at": {"type": ["string", "null"]},
    "expires_at": _field("string", "When its results will be removed.", null=True),
}
SCHEMAS: dict[str, Any] = {
    "Batch": {"type": "object", "required": list(_FIELDS), "properties": _FIELDS},
    "Batches": {
        "type": "object",
        "required": ["batches"],
        "properties": {
            "batches": {"type": "array", "items": {"$ref": "#/components/schemas/Batch"}}
        },
    },
}
