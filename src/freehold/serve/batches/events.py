"""Progress as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import msgspec

from freehold.errors import InputError, NotFoundError, StoreError
from freehold.serve.batches.ports import Batch

__all__ = ["Changes", "progress", "read_event_id"]

_POLL = 1.0  # how late a change is seen that another server has made
_PAUSE = 0.25  # between two events
_HEARTBEAT = 15.0  # so that proxies do not take the stream for dead
_RETRY = b"retry: 2000\n\n"


class Changes:
    """Who wants to know when a batch has moved on this server. Lives in one event loop."""

    def __init__(self) -> None:
        self._watched: dict[str, set[asyncio.Event]] = defaultdict(set)

    def tell(self, batch_id: str) -> None:
        """It has moved."""
        for event in self._watched.get(batch_id, ()):
            event.set()

    @contextmanager
    def watch(self, batch_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the batch moves."""
        event = asyncio.Event()
        self._watched[batch_id].add(event)
        try:
            yield event
        finally:
            self._watched[batch_id].discard(event)
            if not self._watched[batch_id]:
                del self._watched[batch_id]


def read_event_id(given: str | None) -> int:
    """The revision that a client has seen, from its Last-Event-ID. Raises InputError."""
    if given is None or not given.strip():
        return 0
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise InputError(
            "Last-Event-ID is not a number.", hint="Send the id of the last event, or none."
        )
    return int(given)


async def progress(
    batch: Batch,
    seen: int,
    *,
    look: Callable[[], Awaitable[Batch]],
    changes: Changes,
    stopping: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """An event for each change after revision `seen`, at most four a second, until the batch is
    over (or removed) or the server stops; `look` finds it as it is then."""
    yield _RETRY
    quiet = 0.0
    with changes.watch(batch.id) as moved:
        while True:
            if batch.revision > seen:
                seen, quiet = batch.revision, 0.0
                yield _event(batch)
            elif quiet >= _HEARTBEAT:
                quiet = 0.0
                yield b": still here\n\n"
            if batch.over or stopping():
                return
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL - _PAUSE):
                    await moved.wait()
            moved.clear()
            quiet += _POLL
            try:
                batch = await look()
            except StoreError:
                continue
            except NotFoundError:
                return


def _event(batch: Batch) -> bytes:
    name = b"end" if batch.over else b"progress"
    data = msgspec.json.encode(batch.document())
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (batch.revision, name, data)
