"""The answers to one chunk of a batch: each line is read, encoded, and sent through the batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec

from freehold.clock import Clock
from freehold.errors import FreeholdError, LimitError, PaymentError, UnavailableError
from freehold.serve.accepted import Job, Result, tallies_of
from freehold.serve.batcher import Batcher
from freehold.serve.batches.lines import Line, divide, read_lines
from freehold.serve.batches.ports import Answered, Batch, Chunk
from freehold.serve.batches.room import Room
from freehold.serve.holding import take
from freehold.serve.ports import Caller, Gate, Hold, ModelEngine, Work

__all__ = ["Answerer"]

_MORE_TRIES = 2
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class _Ready:
    """A line whose inputs are encoded."""

    line: Line
    encoded: Sequence[Any]
    hold: Hold | None = None


@dataclass(frozen=True, slots=True)
class _Told:
    """What a line is answered with, as it stands in the results; a line with an error has no work,
    and is not billed."""

    result: bytes
    job: Job | None = None
    work: Work | None = None


class Answerer:
    """Lives in the batcher's event loop."""

    def __init__(
        self,
        gate: Gate,
        batcher: Batcher,
        room: Room,
        pool: ThreadPoolExecutor,
        clock: Clock,
        *,
        max_inputs: int,
    ) -> None:
        self._gate = gate
        self._batcher = batcher
        self._room = room
        self._pool = pool
        self._clock = clock
        self._max_inputs = max_inputs
        self._alone = asyncio.Lock()
        # What is left of a wallet is for the lines that come first.
        self._in_order = asyncio.Lock()

    async def answer(
        self, batch: Batch, chunk: Chunk, caller: Caller, engine: ModelEngine
    ) -> Answered:
        """Raises LimitError or PaymentError if not even its first line can be paid,
        UnavailableError if the server is stopping."""
        started = self._clock.monotonic()
        loop = asyncio.get_running_loop()
        rest: Chunk | None = None
        refusal: FreeholdError | None = None
        tasks: list[asyncio.Task[_Told]] = []
        holds: list[Hold] = []
        try:
            async with self._in_order:
                ready = await loop.run_in_executor(
                    self._pool, _prepare, chunk, engine, self._max_inputs
                )
                if caller.allowances:
                    ready, refusal = await self._held(ready, caller, holds)
                    if refusal is not None:
                        chunk, rest = divide(chunk, len(ready))
            tasks += [loop.create_task(self._tell(batch, one, caller, engine)) for one in ready]
            told = [await task for task in tasks]
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for hold in holds:
                hold.release()
            raise
        works = [one.work for one in told if one.work is not None]
        paid = {id(work.hold) for work in works}
        for hold in holds:
            if id(hold) not in paid:
                hold.release()
        return Answered(
            chunk=chunk,
            rest=rest,
            refusal=refusal,
            works=works,
            tallies=tallies_of([one.job for one in told if one.job is not None]),
            results=b"".join(one.result for one in told),
            done=len(works),
            failed=len(told) - len(works),
            seconds=self._clock.monotonic() - started,
        )

    async def _held(
        self, ready: Sequence[_Ready | _Told], caller: Caller, holds: list[Hold]
    ) -> tuple[list[_Ready | _Told], FreeholdError | None]:
        """As many of the lines as can be paid, with what was taken for each (in `holds`, too), and
        why it was not all. Raises what the gate raises if that is none."""
        held: list[_Ready | _Told] = []
        for one in ready:
            if isinstance(one, _Ready):
                tokens = sum(text.length for text in one.encoded)
                try:
                    hold = await take(self._gate, caller, len(one.encoded), tokens)
                except (LimitError, PaymentError) as error:
                    if not held:
                        raise
                    return held, error
                holds.append(hold)
                held.append(replace(one, hold=hold))
            else:
                held.append(one)
        return held, None

    async def _tell(
        self, batch: Batch, ready: _Ready | _Told, caller: Caller, engine: ModelEngine
    ) -> _Told:
        if isinstance(ready, _Told):
            return ready
        line = ready.line
        make = partial(
            Job,
            caller=caller,
            request_id=f"{batch.id}:{line.number}",
            key=None,
            digest=batch.id,
            engine=engine,
            encoded=ready.encoded,
            render=line.request.render,
            hold=ready.hold,
            apart=True,
        )
        job, result = await self._ask(make)
        for _ in range(_MORE_TRIES):
            if not isinstance(result, FreeholdError) or result.status < 500:
                break
            # Perhaps it was another line that broke their batch: such are tried one by one.
            async with self._alone:
                job, result = await self._ask(make)
        if isinstance(result, Work):
            said = {"id": line.id, "line": line.number, "output": msgspec.Raw(result.body)}
            return _Told(_encode(said) + b"\n", job, result)
        if isinstance(result, FreeholdError):
            return _failed(line.number, line.id, result)
        raise UnavailableError("The line was withdrawn.")  # nobody does

    async def _ask(self, make: partial[Job]) -> tuple[Job, Result]:
        job = make()
        try:
            future = await self._room.submit(job)
        except UnavailableError:
            raise
        except FreeholdError as error:
            return job, error
        try:
            result = await future
        except asyncio.CancelledError:
            self._batcher.cancel(job)
            raise
        if isinstance(result, UnavailableError):
            raise result
        return job, result


def _prepare(chunk: Chunk, engine: ModelEngine, max_inputs: int) -> list[_Ready | _Told]:
    """Read and encode a chunk's lines; in another thread."""
    found: list[_Ready | _Told] = []
    for line in read_lines(chunk, engine.meta, max_inputs):
        if not isinstance(line, Line):
            found.append(_failed(line.number, None, line.error))
            continue
        try:
            encoded = engine.encode(line.request.texts)
            line.request.admit(encoded)
        except FreeholdError as error:
            found.append(_failed(line.number, line.id, error))
        else:
            found.append(_Ready(line, encoded))
    return found


def _failed(number: int, name: str | None, error: FreeholdError) -> _Told:
    said = {"id": name, "line": number, "error": error.sentence()}
    return _Told(_encode(said) + b"\n")
