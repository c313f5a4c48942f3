"""What Ray Serve's HTTP proxy says by itself, said as the rest of this API says it.

The proxies call `middlewares` by its name when they start; nothing of Ray is imported here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware import Middleware

from freehold.errors import UnavailableError
from freehold.serve.reply import failure, new_request_id, respond

__all__ = ["InOneVoice", "middlewares"]

Message = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
_ID = b"x-request-id"
_OWN = "/-/"  # the proxy's own paths, which Ray itself asks


def middlewares() -> list[Middleware]:
    """What Ray Serve is to put before its proxies."""
    return [Middleware(InOneVoice)]


class InOneVoice:
    """ASGI middleware around a proxy. A response of a replica has an id of ours, and one that the
    proxy adds, which is taken away. Any other is the proxy's own; and where the replica died, the
    proxy says nothing at all. Both become a sentence in JSON, and 503: a retry finds another
    replica."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OWN):
            await self._app(scope, receive, send)
            return
        voice = _Voice(send)
        await self._app(scope, receive, voice.send)
        if not voice.begun:
            await voice.say(
                "The replica that had this request was lost.",
                "Try again, best with the same Idempotency-Key.",
            )


class _Voice:
    """One response on its way."""

    __slots__ = ("_replaced", "_send", "begun")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._replaced = False
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = message["headers"]
            ids = [place for place, (name, _) in enumerate(headers) if name.lower() == _ID]
            if len(ids) > 1:
                del headers[ids[-1]]
            else:
                self._replaced = True
                await self.say("No replica could take this request.", "Try again.")
                return
        if not self._replaced:
            await self._send(message)

    async def say(self, sentence: str, hint: str) -> None:
        error = UnavailableError(sentence, hint=hint, retry_after=1.0)
        await respond(self._send, failure(error), new_request_id())
