"""Taking what a request needs of its caller's allowances, in the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from freehold.serve.ports import Caller, Gate, Hold

__all__ = ["take"]


async def take(gate: Gate, caller: Caller, inputs: int, tokens: int) -> Hold:
    """As Gate.hold; given back if whoever waits for it is cancelled meanwhile."""
    taken = gate.hold(caller, inputs, tokens)
    if not isinstance(taken, Future):
        return taken
    waited = asyncio.wrap_future(taken)
    try:
        return await asyncio.shield(waited)
    except asyncio.CancelledError:
        waited.add_done_callback(_forget)
        raise


def _forget(taken: asyncio.Future[Hold]) -> None:
    """Give back what was taken for a request that is not there any more."""
    if not taken.cancelled() and taken.exception() is None:
        taken.result().release()
