"""What every HTTP response has: an id, a length, JSON, and for an error one sentence."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from freehold.errors import AuthError, FreeholdError, LimitError, UnavailableError

__all__ = ["ID_BYTES", "Reply", "Send", "failure", "new_request_id", "respond"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ID_BYTES = 16
_JSON = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is sent; `headers` besides content-type, content-length, x-request-id."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


def new_request_id() -> str:
    """Random, since a count would tell customers how much traffic there is."""
    return os.urandom(ID_BYTES).hex()


async def respond(send: Send, reply: Reply, request_id: str) -> None:
    """Send a reply whole."""
    headers = [
        _JSON,
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request_id.encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def failure(error: FreeholdError) -> Reply:
    """An error as clients get it: `{"error": sentence}`, with Retry-After where that helps."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if isinstance(error, LimitError | UnavailableError):
        headers = ((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))),)
    elif isinstance(error, AuthError):
        headers = ((b"www-authenticate", b"Bearer"),)
    return Reply(error.status, msgspec.json.encode({"error": error.sentence()}), headers)
