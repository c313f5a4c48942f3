"""The worker of one server: takes batches whose turn it is, answers them, records chunk by chunk.

Several servers over one database take turns by leases. A chunk is recorded only by who holds the
batch, so a server that was thought dead and comes back changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from freehold.clock import Clock
from freehold.errors import FreeholdError, LimitError, NotFoundError, StoreError, UnavailableError
from freehold.serve.batches.answer import Answerer
from freehold.serve.batches.ports import Answered, Batch, BatchStore, Chunk, Kept
from freehold.serve.ports import Caller, ModelEngine

__all__ = ["Runner"]

_log = logging.getLogger("freehold.serve")
_POLL = 2.0  # how long a batch that another server accepted may wait for this one
_TIDY = 15.0
_TURN = 10.0  # so long a customer's batch goes on while others wait
_PAUSE = 60.0  # after that what could not go on is tried again
_CHUNKS_AT_ONCE = 8
_LONGEST_RETRY = 5.0
_P = ParamSpec("_P")
_R = TypeVar("_R")


class _LostError(Exception):
    """The batch is not this server's any more, or was cancelled."""


class Runner:
    """Lives in one event loop. `find` gives the engine of MODEL@VERSION, `loaded` all versions that
    there are; `changed` is told the id of a batch that has moved."""

    def __init__(
        self,
        store: BatchStore,
        answerer: Answerer,
        pool: ThreadPoolExecutor,
        clock: Clock,
        *,
        find: Callable[[str, Caller], ModelEngine],
        loaded: Callable[[], Collection[tuple[str, int]]],
        changed: Callable[[str], None],
    ) -> None:
        self._store = store
        self._answerer = answerer
        self._pool = pool
        self._clock = clock
        self._find = find
        self._loaded = loaded
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._stopping = False
        self._tidied = -_TIDY
        self._task = self._loop.create_task(self._run())

    @property
    def alive(self) -> bool:
        return not self._task.done()

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def stop(self) -> None:
        """Finish and record the chunks that were begun, and let go of the batch."""
        self._stopping = True
        self._woken.set()
        await self._task

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._tidy()
                batch = await self._ask(self._store.claim, self._loaded())
                if batch is not None and await self._turn(batch):
                    continue
            except StoreError as error:
                _log.error("batches wait for the database: %s", error.message)
            except Exception as error:  # noqa: BLE001 - one batch must not end all others
                _log.error("a batch was interrupted", exc_info=error)
            await self._sleep(_POLL)

    async def _tidy(self) -> None:
        now = self._clock.monotonic()
        if now - self._tidied >= _TIDY:
            self._tidied = now
            await self._ask(self._store.tidy, self._loaded())

    async def _turn(self, batch: Batch) -> bool:
        """Work on a batch until it is over, another's turn has come, or it cannot go on; whether
        another may be tried at once."""
        self._changed(batch.id)
        holding = self._loop.create_task(self._hold(batch))
        reason: str | None = None
        pause = 0.0
        well = True
        try:
            await self._go_on(batch)
        except _LostError:
            return True
        except StoreError:
            raise
        except UnavailableError:  # this server is stopping, or what it needs is not there
            well = False
        except FreeholdError as error:
            reason = error.sentence()
            pause = min(_PAUSE, error.retry_after if isinstance(error, LimitError) else _PAUSE)
        finally:
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await holding
            self._changed(batch.id)
        await self._ask(self._store.yield_turn, batch, reason=reason, seconds=pause)
        self._changed(batch.id)
        return well

    async def _go_on(self, batch: Batch) -> None:
        """Answer chunks, two at a time so that the engine need not wait for a commit, and record
        them in their order. Raises what keeps it from going on."""
        caller = await self._ask(self._store.caller, batch)
        ends = self._clock.monotonic() + _TURN
        ahead: asyncio.Task[Answered] | None = None
        try:
            async with contextlib.aclosing(self._chunks(batch)) as chunks:
                async for chunk in chunks:
                    engine = self._engine(batch, caller)
                    answering = self._answerer.answer(batch, chunk, caller, engine)
                    done, ahead = ahead, self._loop.create_task(answering)
                    if done is not None:
                        await self._record(batch, done)
                    if self._stopping:
                        break
                    if self._clock.monotonic() >= ends:
                        if await self._ask(self._store.waiting, self._loaded()):
                            break
                        caller = await self._ask(self._store.caller, batch)
                        ends = self._clock.monotonic() + _TURN
            if ahead is not None:
                done, ahead = ahead, None
                await self._record(batch, done)
        finally:
            if ahead is not None:
                ahead.cancel()
                await asyncio.gather(ahead, return_exceptions=True)

    async def _chunks(self, batch: Batch) -> AsyncGenerator[Chunk]:
        after = -1
        while chunks := await self._ask(
            self._store.chunks, batch, after=after, limit=_CHUNKS_AT_ONCE
        ):
            for chunk in chunks:
                yield chunk
                after = chunk.first

    def _engine(self, batch: Batch, caller: Caller) -> ModelEngine:
        try:
            return self._find(f"{batch.model}@{batch.version}", caller)
        except NotFoundError:
            raise NotFoundError(
                f"{batch.model}@{batch.version} is not loaded any more.",
                hint="The batch goes on when it is.",
            ) from None

    async def _record(self, batch: Batch, answering: asyncio.Task[Answered]) -> None:
        answered = await answering
        waited = 0.1
        while True:
            try:
                kept = await self._ask(self._store.record, batch, answered)
                break
            except StoreError as error:
                if self._stopping:
                    raise
                _log.error("%d lines could not be recorded: %s", answered.done, error.message)
                await self._sleep(waited)
                waited = min(2 * waited, _LONGEST_RETRY)
        if kept is Kept.LOST:
            raise _LostError
        if kept is Kept.REFUSED:
            raise FreeholdError("Nothing is left to pay for its lines.")
        self._changed(batch.id)
        if answered.refusal is not None:
            raise answered.refusal

    async def _hold(self, batch: Batch) -> None:
        """Show that this server lives, however long a chunk takes."""
        held = True
        while held:
            await asyncio.sleep(self._store.lease_seconds / 3)
            with contextlib.suppress(StoreError):
                held = await self._ask(self._store.renew, batch)

    async def _ask(self, call: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """A call of the store, in another thread."""
        return await self._loop.run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def _sleep(self, seconds: float) -> None:
        self._woken.clear()
        if self._stopping:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
