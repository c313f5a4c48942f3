"""What every HTTP response has: an id, a length, JSON, and for an error one sentence."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec

from freehold.errors import AuthError, FreeholdError, LimitError, UnavailableError

__all__ = [
    "ID_BYTES",
    "Headers",
    "Reply",
    "Send",
    "failure",
    "failure_headers",
    "new_request_id",
    "respond",
]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

ID_BYTES = 16
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it is sent; `headers` besides content-type, content-length, x-request-id."""

    status: int
    body: bytes
    headers: Headers = ()
    binary: bool = False  # whether the body is anything but JSON
    encoding: bytes = b""  # in which it is to be packed before it is sent, gzip or deflate


def new_request_id() -> str:
    """Random, since a count would tell customers how much traffic there is."""
    return os.urandom(ID_BYTES).hex()


async def respond(send: Send, reply: Reply, request_id: str) -> None:
    """Send a reply whole."""
    headers = [
        _BINARY if reply.binary else _JSON,
        (b"content-length", b"%d" % len(reply.body)),
        (b"x-request-id", request_id.encode()),
        *reply.headers,
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


def failure(error: FreeholdError) -> Reply:
    """An error as most clients get it: `{"error": sentence}`."""
    body = msgspec.json.encode({"error": error.sentence()})
    return Reply(error.status, body, failure_headers(error))


def failure_headers(error: FreeholdError) -> Headers:
    """What an error's response has in any contract: Retry-After where that helps, and RateLimit
    with RateLimit-Policy where a limit of the caller's is reached."""
    if isinstance(error, LimitError | UnavailableError):
        after = (b"retry-after", b"%d" % max(1, math.ceil(error.retry_after)))
        return (after, *error.headers) if isinstance(error, LimitError) else (after,)
    if isinstance(error, AuthError):
        return ((b"www-authenticate", b"Bearer"),)
    return ()
