"""The way of one request to a model: key, body, replay, queue, recorded answer, or a sentence.

Plain ASGI, since every microsecond here is paid by each request. What a path means, and how bodies
and answers look, is the contract's (`serve.contracts`); what is not asked for often is in
`serve.factory`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from freehold.clock import Clock
from freehold.errors import (
    ConflictError,
    FreeholdError,
    LimitError,
    NotFoundError,
    UnavailableError,
)
from freehold.project import Serve
from freehold.serve.accepted import broken
from freehold.serve.asked import Asked, ClientGoneError, Receive, Scope
from freehold.serve.batcher import Batcher, CancelledJob, Job
from freehold.serve.cache import AnswerCache
from freehold.serve.callers import Callers
from freehold.serve.contracts.base import Contract
from freehold.serve.flights import Flights
from freehold.serve.holding import take
from freehold.serve.inflate import WORTH, deflate, inflate
from freehold.serve.logs import RequestLog
from freehold.serve.metrics import Metrics
from freehold.serve.ports import Gate, ModelEngine, Recorded
from freehold.serve.releases import Releases
from freehold.serve.reply import ID_BYTES, Headers, Reply, Send, respond

__all__ = ["Front"]

_log = logging.getLogger("freehold.serve")
# Longer bodies are tokenised in another thread, so that the event loop goes on meanwhile.
_LONG_BODY = 4096
_AS_IT_IS = (b"", b"identity")
_REPLAYED: Headers = ((b"idempotency-replayed", b"true"),)
_LEAVING = (Recorded.METERED, Recorded.REPLAYED)
_FAILED = 500  # which blames the engine; what the database does not take is a 503
_GONE = 499  # in logs and metrics alone: the client left before its request was begun


class Front:
    """The ASGI endpoint of every contract's POST to a model. Lives in one event loop."""

    def __init__(
        self,
        releases: Releases,
        gate: Gate,
        callers: Callers,
        settings: Serve,
        batcher: Batcher,
        metrics: Metrics,
        log: RequestLog,
        clock: Clock,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._releases = releases
        self._find = releases.find
        self._gate = gate
        self._callers = callers
        self._settings = settings
        self._batcher = batcher
        self._metrics = metrics
        self._request_log = log
        self._clock = clock
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._flights = Flights()
        self._ids: Iterator[str] = iter(())
        most = settings.cache_mb * 1_000_000
        self._cache = AnswerCache(most) if most else None
        self._bytes = 0  # of bodies that have been let in and not been answered

    async def __call__(
        self, contract: Contract, scope: Scope, receive: Receive, send: Send
    ) -> None:
        started = self._clock.monotonic()
        # Ours, or that of a proxy which may give the same request to two servers.
        request_id = scope.get("freehold.request_id") or self._request_id()
        asked = Asked(scope, receive, request_id)
        reply: Reply | None
        try:
            reply = await self._reply(contract, asked, started)
        except FreeholdError as error:
            reply = contract.failure(error)
        except ClientGoneError:
            reply = None
        except asyncio.CancelledError:
            # Our server does this when the time to drain is over, Ray's when the client has left.
            stopping = UnavailableError("This server is stopping.", hint="Try again.")
            reply = contract.failure(stopping) if asked.connection is not None else None
        except Exception as error:  # noqa: BLE001 - the client gets a sentence, the log the rest
            _log.error("request %s failed", asked.request_id, exc_info=error)
            reply = contract.failure(
                FreeholdError("The server failed to answer.", hint="Try again.")
            )
        if reply is not None:
            await respond(send, reply, asked.request_id)
            if reply.status in (401, 413) and asked.connection is not None:
                asked.connection.linger()
        self._note(asked, reply.status if reply else _GONE, started)

    def _request_id(self) -> str:
        """As `new_request_id`, of which it takes many at once: each call of the system's source
        lets other threads run first. Never before a fork, or two processes would share ids."""
        found = next(self._ids, None)
        if found is None:
            drawn = os.urandom(256 * ID_BYTES).hex()
            size = 2 * ID_BYTES
            self._ids = iter([drawn[at : at + size] for at in range(0, len(drawn), size)])
            found = next(self._ids)
        return found

    async def _reply(self, contract: Contract, asked: Asked, came: float) -> Reply:
        settings = self._settings
        asked.read_deadline(came, settings.timeout_ms, settings.max_timeout_ms)
        caller = asked.caller = await self._callers.of(asked.authorization)
        key = asked.read_key()
        reserved = self._reserve(asked)
        try:
            await asked.read(settings.max_body_bytes)
            if asked.encoding not in _AS_IT_IS:
                await self._unpack(asked)
            if key is None:
                body, asked.replayed = await self._answer(contract, asked)
            else:
                asked.digest = contract.digest(asked)
                body, asked.replayed = await self._flights.once(
                    (caller.customer_id, key),
                    asked.digest,
                    partial(self._keyed, contract, asked, key),
                    None if asked.deadline is None else asked.deadline - self._clock.monotonic(),
                )
        finally:
            self._bytes -= reserved
        headers = _REPLAYED if asked.replayed else ()
        if asked.hold is not None:
            headers += asked.hold.headers()
        reply = contract.reply(asked, body, headers)
        return await self._packed(reply) if reply.encoding and len(body) >= WORTH else reply

    def _reserve(self, asked: Asked) -> int:
        """Room for a body before any of it is kept: as long as it says to be, else as long as any
        may be. Raises LimitError."""
        most = self._settings.max_body_bytes
        plain = asked.length is not None and asked.encoding in _AS_IT_IS
        size = min(asked.length or 0, most) if plain else most
        if self._bytes + size > self._settings.queue_bytes:
            raise LimitError(
                "Too many long requests at once.", hint="Try again after the time in Retry-After."
            )
        self._bytes += size
        return size

    async def _unpack(self, asked: Asked) -> None:
        asked.body = await self._loop.run_in_executor(
            self._pool, inflate, asked.body, asked.encoding, self._settings.max_body_bytes
        )

    async def _packed(self, reply: Reply) -> Reply:
        body = await self._loop.run_in_executor(self._pool, deflate, reply.body, reply.encoding)
        headers = (*reply.headers, (b"content-encoding", reply.encoding))
        return replace(reply, body=body, headers=headers)

    async def _keyed(self, contract: Contract, asked: Asked, key: str) -> tuple[bytes, bool]:
        """The stored answer to a keyed request, or a new one; whether it is the stored one."""
        stored = await self._loop.run_in_executor(
            self._pool, self._gate.replay, asked.caller, key, asked.digest
        )
        return (stored, True) if stored is not None else await self._answer(contract, asked)

    async def _answer(
        self, contract: Contract, asked: Asked, failed: ModelEngine | None = None
    ) -> tuple[bytes, bool]:
        """Queue the request and wait until its answer is recorded; whether it is another's.

        What an engine `failed` to answer is asked of the live version once, if that is another:
        whom a canary was given to does not suffer for it.
        """
        find = self._find if failed is None else self._releases.find_live
        engine, request = contract.read(asked, find, self._settings.max_inputs)
        if failed is not None:
            if engine is failed:
                raise broken()
            self._releases.watch.answered(asked.model, asked.version, _FAILED, None)
            asked.moved = True
        asked.model, asked.version = engine.meta.model, engine.meta.version
        encoded, known = await self._encoded(engine, request.texts, len(asked.body))
        request.admit(encoded)
        asked.inputs, asked.tokens = len(encoded), sum(text.length for text in encoded)
        caller = asked.caller
        hold = None
        if caller.allowances:
            hold = await take(self._gate, caller, asked.inputs, asked.tokens)
            asked.hold = hold
        job = Job(
            caller=caller,
            request_id=asked.request_id,
            key=asked.key,
            digest=asked.digest,
            engine=engine,
            encoded=encoded,
            render=request.render,
            deadline=asked.deadline,
            hold=hold,
            known=known,
        )
        asked.cached = job.cached_inputs
        try:
            result = await self._wait(job, asked)
        finally:
            if hold is not None:
                hold.release()  # unless it was settled
        if isinstance(result, FreeholdError):
            if result.status == _FAILED and failed is None:
                return await self._again(contract, asked, engine)
            raise result
        if isinstance(result, CancelledJob):
            raise ClientGoneError
        if known is not None and result.recorded in _LEAVING:
            self._remember(job, request.texts, known)
        if result.recorded is Recorded.METERED:
            if self._releases.shadowing and not job.cached_inputs:
                self._releases.shadow(engine, request.texts, job.logits, job.compute_us)
            return result.body, False
        if result.recorded is Recorded.REPLAYED:
            return result.body, True
        raise _unpaid(result.recorded)

    async def _encoded(
        self, engine: ModelEngine, texts: Sequence[Any], size: int
    ) -> tuple[Sequence[Any], list[Any] | None]:
        """The inputs of a body of so many bytes as the engine takes them; with a cache, what it
        knows of each, too: logits or None."""
        known = None
        if self._cache is not None:
            found = [self._cache.find(engine, text) for text in texts]
            texts = tuple(text for text, entry in zip(texts, found, strict=True) if entry is None)
            known = [entry and entry[1] for entry in found]
        if size > _LONG_BODY:
            encoded = await self._loop.run_in_executor(self._pool, engine.encode, texts)
        else:
            encoded = engine.encode(texts)
        if known is not None:
            fresh = iter(encoded)
            encoded = [entry[0] if entry is not None else next(fresh) for entry in found]
        return encoded, known

    async def _again(
        self, contract: Contract, asked: Asked, failed: ModelEngine
    ) -> tuple[bytes, bool]:
        try:
            return await self._answer(contract, asked, failed)
        except NotFoundError:  # a version that was asked by its number, and is gone
            raise broken() from None

    def _remember(self, job: Job, texts: Sequence[Any], known: Sequence[Any]) -> None:
        """Keep what was computed for this request, now that it is recorded."""
        cache = self._cache
        assert cache is not None
        for text, row, encoded, logits in zip(texts, known, job.encoded, job.logits, strict=True):
            if row is None:
                cache.keep(job.engine, text, encoded, logits)
        self._metrics.cached(job.engine, job.cached_inputs, len(job.encoded), cache.bytes)

    async def _wait(self, job: Job, asked: Asked) -> Any:
        """Submit and await the result; a client that leaves withdraws what has not begun."""
        connection = asked.connection
        if connection is not None and connection.gone:
            raise ClientGoneError
        future = self._batcher.submit(job)
        watcher: asyncio.Task[None] | None = None
        if connection is not None:
            connection.on_gone(lambda: self._batcher.cancel(job))
        else:  # another server than ours runs this app
            watcher = asyncio.create_task(self._watch(asked.receive, job))
        try:
            return await future
        except asyncio.CancelledError:
            self._batcher.cancel(job)
            raise
        finally:
            if watcher is not None:
                watcher.cancel()

    async def _watch(self, receive: Receive, job: Job) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._batcher.cancel(job)

    def _note(self, asked: Asked, status: int, started: float) -> None:
        seconds = self._clock.monotonic() - started
        self._metrics.request(asked.model, status, seconds)
        if not asked.moved:
            # What the cache knew says nothing of how fast the version is.
            timed = None if asked.cached else seconds
            self._releases.watch.answered(asked.model, asked.version, status, timed)
        self._request_log.write(
            {
                "request": asked.request_id,
                "customer": asked.caller.customer_id or None,
                "key_id": asked.caller.key_id or None,
                "model": asked.model or None,
                "version": asked.version,
                "status": status,
                "replayed": asked.replayed,
                "inputs": asked.inputs,
                "tokens": asked.tokens,
                "ms": round(seconds * 1e3, 2),
            }
        )


def _unpaid(recorded: Recorded) -> FreeholdError:
    """Why an answer that was made does not leave."""
    if recorded is Recorded.CONFLICT:
        return ConflictError(
            "This Idempotency-Key was used for a request with another path or body.",
            hint="Send a new key with a new request.",
        )
    return LimitError(
        "What was held for this request has lapsed, and nothing is left to pay for it.",
        hint="Try again after the time in Retry-After.",
    )
