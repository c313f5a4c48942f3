"""Room for a batch's lines: they go to the engine only while hardly anything else waits for it."""

from __future__ import annotations

import asyncio
import contextlib

from freehold.clock import Clock
from freehold.errors import LimitError
from freehold.serve.batcher import Batcher, Job, Result

__all__ = ["Room"]

# A request that comes waits for no more of a batch's lines than the engine answers in twice this
# time: what it has begun, and as much again that is there when it has done that.
_SECONDS = 0.02
_LEAST = 64  # tokens; also before anything has been measured
# However busy the engine is, a batch gets so much of it once in this time: a fiftieth.
_PATIENCE = 1.0
_POLL = 0.01


class Room:
    """Lives in the batcher's event loop; all batches of a server share it."""

    def __init__(self, batcher: Batcher, clock: Clock, *, batch_tokens: int) -> None:
        self._batcher = batcher
        self._clock = clock
        self._batch_tokens = batch_tokens
        self._mine = 0
        self._last = clock.monotonic()
        self._freed = asyncio.Event()
        self._turn = asyncio.Lock()  # whoever asked first is let in first

    async def submit(self, job: Job) -> asyncio.Future[Result]:
        """Submit a job once there is room. Raises as Batcher.submit, but for LimitError."""
        async with self._turn:
            while True:
                while not self._fits(job.tokens):
                    await self._a_moment()
                try:
                    result = self._batcher.submit(job)
                    break
                except LimitError:
                    await self._a_moment()
            self._mine += job.tokens
            self._last = self._clock.monotonic()
        result.add_done_callback(lambda _: self._left(job.tokens))
        return result

    def _fits(self, tokens: int) -> bool:
        size = self._size()
        if self._batcher.tokens - self._mine > size:
            return not self._mine and self._clock.monotonic() - self._last >= _PATIENCE
        return not self._mine or self._mine + tokens <= 2 * size

    def _size(self) -> int:
        """Tokens that the engine answers in _SECONDS."""
        return min(self._batch_tokens, max(_LEAST, round(self._batcher.pace * _SECONDS)))

    async def _a_moment(self) -> None:
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL):
                await self._freed.wait()

    def _left(self, tokens: int) -> None:
        self._mine -= tokens
        self._freed.set()
