"""Uvicorn's HTTP protocol, telling the app when a client leaves and answering bad HTTP in JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from freehold.serve.reply import new_request_id

__all__ = ["ServeProtocol"]

# How long a client may go on sending a body that was refused, before the connection is cut. Cutting
# it at once would reset it, and many clients would then never see why.
LINGER_SECONDS = 5.0


class ServeProtocol(HttpToolsProtocol):
    """One connection. The app finds it as scope["freehold.connection"]."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gone = False
        self._leaving: list[Callable[[], object]] = []
        self._linger: asyncio.TimerHandle | None = None
        self._receiving = False

    def on_gone(self, call: Callable[[], object]) -> None:
        """Call once if the client leaves before the response to the current request is complete."""
        self._leaving.append(call)

    def linger(self) -> None:
        """Cut the connection after a while if the client is still sending the current body."""
        if self._receiving and self._linger is None and not self.transport.is_closing():
            self._linger = self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = True
        self.scope["freehold.connection"] = self  # type: ignore[typeddict-unknown-key]  # our own

    def on_message_complete(self) -> None:
        self._receiving = False
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
        body = msgspec.json.encode({"error": msg})
        head = [b"HTTP/1.1 400 Bad Request\r\n"]
        head += [b"%s: %s\r\n" % header for header in self.server_state.default_headers]
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
