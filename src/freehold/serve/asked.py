"""One request as it came: its head, then its body, then what becomes known of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from freehold.errors import InputError, TooLargeError
from freehold.serve.ports import Caller, Hold

__all__ = ["Asked", "ClientGoneError", "Connection", "Receive", "Scope", "too_large"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

NOBODY = Caller("", "")  # until the key is known
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_MILLISECONDS = re.compile(rb"0*[1-9][0-9]{0,11}")


class Connection(Protocol):
    """What serve.protocol offers beyond ASGI, as scope["freehold.connection"]."""

    @property
    def gone(self) -> bool: ...
    def on_gone(self, call: Callable[[], object]) -> None: ...
    def linger(self) -> None: ...


class ClientGoneError(Exception):
    """Nobody is left to answer."""


class Asked:
    """The head is read at once, `body` by `read`; the rest is filled in on the way, for the log."""

    __slots__ = (
        "authorization",
        "body",
        "cached",
        "caller",
        "came",
        "connection",
        "deadline",
        "digest",
        "encoding",
        "headers",
        "hold",
        "inputs",
        "key",
        "length",
        "model",
        "moved",
        "path",
        "receive",
        "replayed",
        "request_id",
        "sent_key",
        "timeout",
        "tokens",
        "version",
    )

    def __init__(self, scope: Scope, receive: Receive, request_id: str) -> None:
        self.path: str = scope["path"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.connection: Connection | None = scope.get("freehold.connection")
        self.receive = receive
        self.request_id = request_id
        self.authorization = b""
        self.encoding = b""
        self.length: int | None = None
        self.sent_key: bytes | None = None
        self.timeout: bytes | None = None
        for name, value in self.headers:
            if name == b"authorization":
                self.authorization = value
            elif name == b"idempotency-key":
                # Two keys contradict each other; joined by a space they are refused.
                self.sent_key = value if self.sent_key is None else self.sent_key + b" " + value
            elif name == b"content-length":
                self.length = int(value) if value.isdigit() else None
            elif name == b"content-encoding":
                self.encoding = value.lower()
            elif name == b"x-timeout-ms":
                self.timeout = value
        self.came = 0.0
        self.deadline: float | None = None
        self.body = b""
        self.caller = NOBODY
        self.key: str | None = None
        self.digest = ""
        self.model = ""
        self.version: int | None = None
        self.inputs = 0
        self.tokens = 0
        self.replayed = False
        self.hold: Hold | None = None
        self.cached = 0  # inputs that were asked before
        self.moved = False  # to another engine, since the one that it was for failed

    def header(self, name: bytes) -> bytes | None:
        """The last header of this name, in lower case; for those that few requests have."""
        found = None
        for one, value in self.headers:
            if one == name:
                found = value
        return found

    def read_key(self) -> str | None:
        """The Idempotency-Key. Raises InputError."""
        if self.sent_key is None:
            return None
        if not _IDEMPOTENCY_KEY.fullmatch(self.sent_key):
            raise InputError(
                "The Idempotency-Key is not one to 255 visible ASCII characters.",
                hint="A random UUID is a good key.",
            )
        self.key = self.sent_key.decode("ascii")
        return self.key

    def read_deadline(self, came: float, default_ms: int, most_ms: int) -> None:
        """Set `deadline`, on the clock on which the request `came`: by X-Timeout-Ms or the default,
        at most `most_ms` after that; 0 for either is no limit. Raises InputError."""
        wanted = default_ms
        if self.timeout is not None:
            if not _MILLISECONDS.fullmatch(self.timeout):
                raise InputError(
                    "X-Timeout-Ms is not a whole number of milliseconds above 0.",
                    hint="Leave it out to wait as long as the server lets you.",
                )
            wanted = int(self.timeout)
        if most_ms and (not wanted or wanted > most_ms):
            wanted = most_ms
        self.came = came
        self.deadline = came + wanted / 1000 if wanted else None

    def hurry(self, seconds: float) -> None:
        """Bring `deadline` forward to so long after the request came, if it is not earlier."""
        wanted = self.came + seconds
        self.deadline = wanted if self.deadline is None else min(self.deadline, wanted)

    async def read(self, limit: int) -> None:
        """Read the whole body, given up as soon as it is longer than `limit`.

        Raises TooLargeError and ClientGoneError.
        """
        if self.length is not None and self.length > limit:
            raise too_large(limit)
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body", False):
                self.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                return


def too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The body is larger than {limit:,} bytes.", hint="Send its inputs in several requests."
    )
