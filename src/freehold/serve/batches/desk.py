"""What one server does with batches: it takes them in, works on them, and tells how they stand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from freehold.clock import Clock
from freehold.errors import LimitError
from freehold.project import Serve
from freehold.serve.batcher import Batcher
from freehold.serve.batches.answer import Answerer
from freehold.serve.batches.events import Changes, progress
from freehold.serve.batches.intake import Intake
from freehold.serve.batches.ports import Batch, BatchStore
from freehold.serve.batches.room import Room
from freehold.serve.batches.runner import Runner
from freehold.serve.ports import Caller, Gate, ModelEngine

__all__ = ["Desk"]

_STREAMS = 64
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Desk:
    """Lives in one event loop. `find` gives the engine that answers a name, `loaded` all versions
    that there are, `stopping` whether the server drains."""

    def __init__(
        self,
        store: BatchStore,
        gate: Gate,
        batcher: Batcher,
        settings: Serve,
        clock: Clock,
        *,
        find: Callable[[str, Caller], ModelEngine],
        loaded: Callable[[], Collection[tuple[str, int]]],
        stopping: Callable[[], bool],
    ) -> None:
        self.store = store
        self.changes = Changes()
        # Threads of its own: reading a long file must not keep others from being let in.
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="freehold-batches")
        self.intake = Intake(store, settings, self._pool)
        room = Room(batcher, clock, batch_tokens=settings.batch_tokens)
        answerer = Answerer(gate, batcher, room, self._pool, clock, max_inputs=settings.max_inputs)
        self.runner = Runner(
            store,
            answerer,
            self._pool,
            clock,
            find=find,
            loaded=loaded,
            changed=self.changes.tell,
        )
        self._stopping = stopping
        self._loop = asyncio.get_running_loop()
        self._streams = 0

    async def ask(self, call: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """A call of the store, in another thread."""
        return await self._loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def stop(self) -> None:
        """Record what was begun, and let go of it."""
        await self.runner.stop()
        self._pool.shutdown()

    def events(self, batch: Batch, seen: int) -> AsyncIterator[bytes]:
        """Progress of a batch after its revision `seen`. Raises LimitError if too many watch."""
        if self._streams >= _STREAMS:
            raise LimitError(
                f"{_STREAMS} streams of events are open.",
                hint="GET /batches/ID tells the progress, too.",
                retry_after=5.0,
            )
        return self._events(batch, seen)

    async def _events(self, batch: Batch, seen: int) -> AsyncIterator[bytes]:
        async def look() -> Batch:
            return await self.ask(self.store.get, batch.customer_id, batch.id)

        self._streams += 1
        try:
            async for event in progress(
                batch, seen, look=look, changes=self.changes, stopping=self._stopping
            ):
                yield event
        finally:
            self._streams -= 1
