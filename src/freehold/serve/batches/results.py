"""A batch's results as they leave: JSONL, a chunk at a time, never all in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

__all__ = ["results"]


async def results(
    read: Callable[[int], Awaitable[tuple[int, bytes] | None]], *, offset: int, limit: int
) -> AsyncIterator[bytes]:
    """Lines from number `offset` on (from 0), `limit` at most, as far as they are answered; `read`
    is BatchStore.results."""
    at, end = offset, offset + limit
    while at < end and (found := await read(at)) is not None:
        first, answers = found
        lines = answers.splitlines(keepends=True)
        wanted = lines[at - first : end - first]
        yield b"".join(wanted)
        at += len(wanted)
