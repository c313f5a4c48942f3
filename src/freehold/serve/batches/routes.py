"""The paths of batches; what they answer is described in `serve.batches.described`."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from starlette.requests import ClientDisconnect

from freehold.errors import FreeholdError, InputError, UnavailableError
from freehold.serve.batches.desk import Desk
from freehold.serve.batches.events import read_event_id
from freehold.serve.batches.ports import Batch
from freehold.serve.batches.results import results
from freehold.serve.ports import Caller

if TYPE_CHECKING:
    from freehold.serve.factory import Service

__all__ = ["add_routes"]

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MOST_LISTED = 100
_MANY = 10**12


def add_routes(app: FastAPI, service: Service) -> None:
    """Add them to the app. A path is one route, so that a 405 names all of its methods."""
    for path, methods in (
        ("/batches", {"GET": _Method(_list, "limit", "after"), "POST": _Method(_submit, "model")}),
        ("/batches/{batch_id}", {"GET": _Method(_show), "DELETE": _Method(_remove)}),
        ("/batches/{batch_id}/results", {"GET": _Method(_results, "offset", "limit")}),
        ("/batches/{batch_id}/events", {"GET": _Method(_events)}),
        ("/batches/{batch_id}/cancel", {"POST": _Method(_cancel)}),
    ):
        app.add_route(path, _route(service, methods), list(methods))


class _Method:
    """How a request is answered, and the parameters that its query may have."""

    def __init__(self, answer: Callable[[_Asked], Awaitable[Response]], *query: str) -> None:
        self.answer = answer
        self.query = query

    def check(self, request: Request) -> None:
        """Raises InputError: a misspelt parameter shall not pass unnoticed."""
        for name in request.query_params:
            if name not in self.query:
                known = f"It may have {' and '.join(self.query)}." if self.query else "It has none."
                raise InputError(f"{name[:80]!r} is no parameter of this path.", hint=known)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request of somebody who has a key."""

    http: Request
    caller: Caller
    service: Service
    desk: Desk

    @property
    def batch_id(self) -> str:
        found: str = self.http.path_params["batch_id"]
        return found

    async def batch(self) -> Batch:
        store = self.desk.store
        return await self.desk.ask(store.get, self.caller.customer_id, self.batch_id)

    def number(self, name: str, default: int, *, least: int, most: int) -> int:
        """A parameter of the query. Raises InputError."""
        given = self.http.query_params.get(name)
        if given is None:
            return default
        if not (given.isascii() and given.isdigit() and len(given) <= 15):
            raise InputError(f"{name} is not a whole number.", hint=f"It counts from {least}.")
        if not least <= int(given) <= most:
            raise InputError(f"{name} is not from {least} to {most}.")
        return int(given)


def _route(
    service: Service, methods: dict[str, _Method]
) -> Callable[[Request], Awaitable[Response]]:
    async def route(request: Request) -> Response:
        method = methods[request.method]
        try:
            caller = await service.caller(request.headers.get("authorization"))
            method.check(request)
            if service.desk is None:
                raise UnavailableError("This server takes no batches.")
            return await method.answer(_Asked(request, caller, service, service.desk))
        except ClientDisconnect:
            return Response(status_code=400)  # to nobody
        except FreeholdError:
            if "freehold.connection" in request.scope:
                request.scope["freehold.connection"].linger()
            raise

    return route


async def _list(asked: _Asked) -> Response:
    found = await asked.desk.ask(
        asked.desk.store.list,
        asked.caller.customer_id,
        limit=asked.number("limit", 20, least=1, most=_MOST_LISTED),
        after=asked.http.query_params.get("after"),
    )
    return _json({"batches": [batch.document() for batch in found]})


async def _submit(asked: _Asked) -> Response:
    request, desk = asked.http, asked.desk
    if asked.service.draining:
        raise UnavailableError("This server is stopping.", hint="Try again.")
    name = request.query_params.get("model")
    if not name:
        raise InputError("No model is named.", hint="Write it into the path: /batches?model=NAME.")
    engine = asked.service.find(name, asked.caller)
    key = _idempotency_key(request)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InputError("Compressed files are not taken.", hint="Send the lines as they are.")
    length = request.headers.get("content-length", "")
    go_on = getattr(request.scope.get("freehold.connection"), "go_on", lambda: None)
    opened = await desk.intake.receive(
        asked.caller,
        name,
        engine,
        key,
        int(length) if length.isdigit() else None,
        request.stream(),
        go_on,
    )
    desk.runner.wake()
    headers = {"location": f"/batches/{opened.batch.id}"}
    if not opened.new:
        headers["idempotency-replayed"] = "true"
    return _json(opened.batch.created(), 202, headers)


async def _show(asked: _Asked) -> Response:
    return _json((await asked.batch()).document())


async def _remove(asked: _Asked) -> Response:
    await asked.desk.ask(asked.desk.store.remove, asked.caller.customer_id, asked.batch_id)
    return Response(status_code=204)


async def _results(asked: _Asked) -> Response:
    batch, desk = await asked.batch(), asked.desk
    offset = asked.number("offset", 0, least=0, most=_MANY)
    limit = asked.number("limit", _MANY, least=0, most=_MANY)

    async def read(first: int) -> tuple[int, bytes] | None:
        return await desk.ask(desk.store.results, batch.id, first=first)

    answered = f"{batch.done + batch.failed}/{batch.total}"
    return StreamingResponse(
        results(read, offset=offset, limit=limit),
        media_type="application/jsonl",
        headers={"batch-status": batch.status, "batch-lines": answered},
    )


async def _events(asked: _Asked) -> Response:
    batch = await asked.batch()
    seen = read_event_id(asked.http.headers.get("last-event-id"))
    if batch.over and seen >= batch.revision:
        return Response(status_code=204)  # which tells browsers to stop asking
    return StreamingResponse(
        asked.desk.events(batch, seen),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _cancel(asked: _Asked) -> Response:
    store = asked.desk.store
    batch = await asked.desk.ask(store.cancel, asked.caller.customer_id, asked.batch_id)
    asked.desk.changes.tell(batch.id)
    return _json(batch.document())


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InputError(
            "The Idempotency-Key is not one to 255 visible ASCII characters.",
            hint="A random UUID is a good key.",
        )
    return given[0]


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(value), status, headers=headers, media_type="application/json"
    )
