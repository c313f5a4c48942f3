"""Uvicorn's HTTP protocol, for clients that leave, dawdle, send what is not HTTP, or are too many.

Whoever is refused here gets the sentence that other errors have, in JSON, and is disconnected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from freehold.serve.reply import new_request_id

__all__ = ["Limits", "ServeProtocol"]

_NOT_HTTP = (HTTPStatus.BAD_REQUEST, "Invalid HTTP request received.")
_TOO_LONG = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "The request's headers are too many or too long.",
)
_TOO_SLOW = (HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive whole in time.")
_TOO_MANY = (HTTPStatus.SERVICE_UNAVAILABLE, "There are too many connections. Try again.")

# How long a client may go on sending a body that was refused, before the connection is cut. Cutting
# it at once would reset it, and many clients would then never see why.
LINGER_SECONDS = 5.0


# What a head may hold. Longer ones grow no further than what arrives at once, which is a quarter of
# a megabyte.
_HEAD_BYTES = 65_536
_HEADERS = 100


@dataclass(frozen=True, slots=True)
class Limits:
    """Most connections at once, and the seconds in which a request has to arrive whole once it has
    begun, or a client to begin, or to read what it was answered."""

    connections: int
    seconds: float


class ServeProtocol(HttpToolsProtocol):
    """One connection. The app finds it as scope["freehold.connection"]; the server calls `check`
    now and then."""

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gone = False
        self._limits = limits
        self._leaving: list[Callable[[], object]] = []
        self._linger: asyncio.TimerHandle | None = None
        self._receiving = False
        self._in_head = False
        self._head = 0  # bytes of a head that is not complete
        self._since: float | None = None  # when the client began what it has not completed
        self._unread: float | None = None  # since when it does not read
        self._refusal = _NOT_HTTP

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self._limits.connections:
            self._refuse(*_TOO_MANY)

    def check(self) -> None:
        """Disconnect a client that takes too long to send its request, or to read its answer."""
        now, seconds = self.loop.time(), self._limits.seconds
        if self._unread is not None and now - self._unread > seconds:
            self.transport.abort()
        if self._since is None or now - self._since <= seconds or self.transport.is_closing():
            return
        if self.pipeline or self.flow.read_paused:
            return  # it is us who are slow
        cycle = self.cycle
        if self._receiving and not self._in_head:
            if cycle.response_started:
                self.transport.close()
            else:
                self._refuse(*_TOO_SLOW)
        elif cycle is None or cycle.response_complete:
            if self._receiving:
                self._refuse(*_TOO_SLOW)
            else:
                self.transport.close()

    def on_gone(self, call: Callable[[], object]) -> None:
        """Call once if the client leaves before the response to the current request is complete."""
        self._leaving.append(call)

    def go_on(self) -> None:
        """A part of a long body has arrived: the rest has as much time again."""
        if self._since is not None:
            self._since = self.loop.time()

    def linger(self) -> None:
        """Cut the connection after a while if the client is still sending the current body."""
        if self._receiving and self._linger is None and not self.transport.is_closing():
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def data_received(self, data: bytes) -> None:
        if self._since is None:
            self._since = self.loop.time()
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > _HEAD_BYTES:
                self._refuse(*_TOO_LONG)

    def pause_writing(self) -> None:
        self._unread = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread = None
        super().resume_writing()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_head = True
        self._head = 0
        self.scope["freehold.connection"] = self  # type: ignore[typeddict-unknown-key]  # our own

    def on_headers_complete(self) -> None:
        self._in_head = False
        if len(self.headers) > _HEADERS:
            self._refusal = _TOO_LONG
            raise ValueError  # the parser stops, and says that it could not go on
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._receiving = False
        self._since = None
        self._stop_lingering()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._leaving.clear()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._stop_lingering()
        super().connection_lost(exc)
        leaving, self._leaving = self._leaving, []
        for call in leaving:
            call()

    def send_400_response(self, msg: str) -> None:
        self._refuse(*self._refusal)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        if self.transport.is_closing():
            return
        body = msgspec.json.encode({"error": sentence})
        head = [b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())]
        head += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            head.append(b"retry-after: 1\r\n")
        head.append(
            b"content-type: application/json\r\ncontent-length: %d\r\n"
            b"x-request-id: %s\r\nconnection: close\r\n\r\n"
            % (len(body), new_request_id().encode())
        )
        self.transport.write(b"".join(head) + body)
        self.transport.close()

    def _stop_lingering(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
