"""Who sends a request, by its Authorization header: one look-up at a time for a key."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from freehold.errors import AuthError
from freehold.serve.ports import Caller, Gate

__all__ = ["Callers"]


class Callers:
    """Lives in one event loop."""

    def __init__(self, gate: Gate, pool: ThreadPoolExecutor) -> None:
        self._gate = gate
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._asking: dict[str, asyncio.Future[Caller]] = {}

    async def of(self, authorization: bytes) -> Caller:
        """Who sends this Authorization header. Raises AuthError and StoreError."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        token = token.strip()
        if not token or (scheme != "Bearer" and scheme.lower() != "bearer"):
            raise AuthError(
                "The API key is missing.", hint="Send it as `Authorization: Bearer fh_...`."
            )
        caller = self._gate.remembered(token)
        if caller is not None:
            return caller
        # One look-up at a time for a key, however many requests come with it.
        asking = self._asking.get(token)
        if asking is None:
            asking = self._loop.run_in_executor(self._pool, self._gate.authenticate, token)
            self._asking[token] = asking
            asking.add_done_callback(lambda done: self._asked(token, done))
        return await asyncio.shield(asking)

    def _asked(self, token: str, done: asyncio.Future[Caller]) -> None:
        self._asking.pop(token, None)
        if not done.cancelled():
            done.exception()  # seen, even if all who asked have gone
