"""The way of one request to a model: key, body, replay, queue, recorded answer, or a sentence.

Plain ASGI, since every microsecond here is paid by each request; what is not asked for often is in
`serve.factory`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from freehold.clock import Clock
from freehold.errors import (
    AuthError,
    ConflictError,
    FreeholdError,
    InputError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from freehold.project import Serve
from freehold.serve import wire
from freehold.serve.batcher import Batcher, CancelledJob, Job
from freehold.serve.logs import RequestLog
from freehold.serve.metrics import Metrics
from freehold.serve.ports import Caller, Gate, ModelEngine, Recorded
from freehold.serve.reply import ID_BYTES, Reply, Send, failure, respond

__all__ = ["PREFIX", "Front"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_log = logging.getLogger("freehold.serve")
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
# Longer bodies are tokenised in another thread, so that the event loop goes on meanwhile.
_LONG_BODY = 4096
PREFIX = "/models/"
_GONE = 499  # in logs and metrics alone: the client left before its request was begun


class Connection(Protocol):
    """What serve.protocol offers beyond ASGI, as scope["freehold.connection"]."""

    @property
    def gone(self) -> bool: ...
    def on_gone(self, call: Callable[[], object]) -> None: ...
    def linger(self) -> None: ...


class _ClientGoneError(Exception):
    """Nobody is left to answer."""


class _Trace:
    """What is known of a request so far, for its log line and figures."""

    __slots__ = ("customer", "inputs", "key_id", "model", "replayed", "tokens", "version")

    def __init__(self) -> None:
        self.customer: str | None = None
        self.key_id: str | None = None
        self.model = ""
        self.version: int | None = None
        self.inputs = 0
        self.tokens = 0
        self.replayed = False


class _Asked:
    """The head of a request, read once."""

    __slots__ = ("authorization", "encoding", "key", "length")

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.authorization = b""
        self.key: bytes | None = None
        self.length: int | None = None
        self.encoding = b""
        for name, value in headers:
            if name == b"authorization":
                self.authorization = value
            elif name == b"idempotency-key":
                # Two keys contradict each other; joined by a space they are refused.
                self.key = value if self.key is None else self.key + b" " + value
            elif name == b"content-length":
                self.length = int(value) if value.isdigit() else None
            elif name == b"content-encoding":
                self.encoding = value.lower()


class _Flight:
    """A keyed request that is being answered; others with its key wait for what becomes of it."""

    __slots__ = ("digest", "landed")

    def __init__(self, digest: str, landed: asyncio.Future[bytes | FreeholdError | None]) -> None:
        self.digest = digest
        self.landed = landed


class Front:
    """The ASGI endpoint of POST /models/{name}. Lives in one event loop."""

    def __init__(
        self,
        models: dict[str, ModelEngine],
        gate: Gate,
        settings: Serve,
        batcher: Batcher,
        metrics: Metrics,
        log: RequestLog,
        clock: Clock,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._models = models
        self._gate = gate
        self._settings = settings
        self._batcher = batcher
        self._metrics = metrics
        self._request_log = log
        self._clock = clock
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._asking: dict[str, asyncio.Future[Caller]] = {}
        self._flights: dict[tuple[str, str], _Flight] = {}
        self._ids: Iterator[str] = iter(())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = self._clock.monotonic()
        request_id = self._request_id()
        trace = _Trace()
        reply: Reply | None
        try:
            reply = await self._reply(scope, receive, request_id, trace)
        except FreeholdError as error:
            reply = failure(error)
        except _ClientGoneError:
            reply = None
        except asyncio.CancelledError:  # the time to drain is over
            reply = failure(UnavailableError("This server is stopping.", hint="Try again."))
        except Exception as error:  # noqa: BLE001 - the client gets a sentence, the log the rest
            _log.error("request %s failed", request_id, exc_info=error)
            reply = failure(FreeholdError("The server failed to answer.", hint="Try again."))
        if reply is not None:
            await respond(send, reply, request_id)
            if reply.status in (401, 413) and "freehold.connection" in scope:
                scope["freehold.connection"].linger()
        self._note(request_id, trace, reply.status if reply else _GONE, started)

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

    async def caller(self, authorization: bytes) -> Caller:
        """Who sends this Authorization header. Raises AuthError and StoreError."""
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthError(
                "The API key is missing.", hint="Send it as `Authorization: Bearer fh_...`."
            )
        token = token.strip()
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

    async def _reply(self, scope: Scope, receive: Receive, request_id: str, trace: _Trace) -> Reply:
        asked = _Asked(scope["headers"])
        caller = await self.caller(asked.authorization)
        trace.customer, trace.key_id = caller.customer_id, caller.key_id
        key = _idempotency_key(asked.key)
        body = await _body_of(receive, self._settings.max_body_bytes, asked.length)
        if asked.encoding not in (b"", b"identity"):
            raise InputError("Compressed bodies are not taken.", hint="Send the body as it is.")
        path: str = scope["path"]
        digest = ""
        if key is not None:
            digest = hashlib.sha256(path.encode() + b"\0" + body).hexdigest()

        async def answer() -> tuple[bytes, bool]:
            return await self._answer(scope, receive, body, caller, request_id, key, digest, trace)

        if key is None:
            answered, replayed = await answer()
        else:
            answered, replayed = await self._once(caller, key, digest, answer)
        trace.replayed = replayed
        headers = ((b"idempotency-replayed", b"true"),) if replayed else ()
        return Reply(200, answered, headers)

    async def _once(
        self,
        caller: Caller,
        key: str,
        digest: str,
        answer: Callable[[], Awaitable[tuple[bytes, bool]]],
    ) -> tuple[bytes, bool]:
        """The answer to a keyed request, and whether it is another's: the stored one, that of the
        same request in flight, or a new one."""
        place = (caller.customer_id, key)
        while (ahead := self._flights.get(place)) is not None:
            if ahead.digest != digest:
                raise ConflictError(
                    "This Idempotency-Key is being used for a request with another path or body.",
                    hint="Send a new key with a new request.",
                )
            landed = await asyncio.shield(ahead.landed)
            if isinstance(landed, bytes):
                return landed, True
            if landed is not None:
                raise landed
            # It was withdrawn: this request is the next to try.
        flight = _Flight(digest, self._loop.create_future())
        self._flights[place] = flight
        result: bytes | FreeholdError | None = None
        try:
            stored = await self._loop.run_in_executor(
                self._pool, self._gate.replay, caller, key, digest
            )
            answered, replayed = (stored, True) if stored is not None else await answer()
            result = answered
        except FreeholdError as error:
            result = error
            raise
        finally:
            del self._flights[place]
            flight.landed.set_result(result)
        return answered, replayed

    async def _answer(
        self,
        scope: Scope,
        receive: Receive,
        body: bytes,
        caller: Caller,
        request_id: str,
        key: str | None,
        digest: str,
        trace: _Trace,
    ) -> tuple[bytes, bool]:
        """Queue the request and wait until its answer is recorded."""
        engine = self._engine(scope["path"].removeprefix(PREFIX))
        trace.model, trace.version = engine.meta.model, engine.meta.version
        request = wire.decode(body, engine.meta, self._settings.max_inputs)
        if len(body) > _LONG_BODY:
            encoded = await self._loop.run_in_executor(self._pool, engine.encode, request.texts)
        else:
            encoded = engine.encode(request.texts)
        request.admit(encoded)
        job = Job(
            caller=caller,
            request_id=request_id,
            key=key,
            digest=digest,
            engine=engine,
            encoded=encoded,
            render=request.render,
        )
        trace.inputs, trace.tokens = len(encoded), job.tokens
        result = await self._wait(job, scope, receive)
        if isinstance(result, FreeholdError):
            raise result
        if isinstance(result, CancelledJob):
            raise _ClientGoneError
        if result.recorded is Recorded.CONFLICT:
            raise ConflictError(
                "This Idempotency-Key was used for a request with another path or body.",
                hint="Send a new key with a new request.",
            )
        return result.body, result.recorded is Recorded.REPLAYED

    async def _wait(self, job: Job, scope: Scope, receive: Receive) -> Any:
        """Submit and await the result; a client that leaves withdraws what has not begun."""
        connection: Connection | None = scope.get("freehold.connection")
        if connection is not None and connection.gone:
            raise _ClientGoneError
        future = self._batcher.submit(job)
        watcher: asyncio.Task[None] | None = None
        if connection is not None:
            connection.on_gone(lambda: self._batcher.cancel(job))
        else:  # another server than ours runs this app
            watcher = asyncio.create_task(self._watch(receive, job))
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

    def _engine(self, name: str) -> ModelEngine:
        engine = self._models.get(name)
        if engine is None:
            loaded = ", ".join(sorted(self._models)) or "none"
            raise NotFoundError(
                f"There is no model {name[:80]!r} here; loaded: {loaded}.",
                hint="GET /models lists them.",
            )
        return engine

    def _note(self, request_id: str, trace: _Trace, status: int, started: float) -> None:
        seconds = self._clock.monotonic() - started
        self._metrics.request(trace.model, status, seconds)
        self._request_log.write(
            {
                "request": request_id,
                "customer": trace.customer,
                "key_id": trace.key_id,
                "model": trace.model or None,
                "version": trace.version,
                "status": status,
                "replayed": trace.replayed,
                "inputs": trace.inputs,
                "tokens": trace.tokens,
                "ms": round(seconds * 1e3, 2),
            }
        )


async def _body_of(receive: Receive, limit: int, declared: int | None) -> bytes:
    """The whole body, given up as soon as it is longer than `limit`. Raises TooLargeError."""
    if declared is not None and declared > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The body is larger than {limit:,} bytes.", hint="Send its inputs in several requests."
    )


def _idempotency_key(given: bytes | None) -> str | None:
    if given is None:
        return None
    if not _IDEMPOTENCY_KEY.fullmatch(given):
        raise InputError(
            "The Idempotency-Key is not one to 255 visible ASCII characters.",
            hint="A random UUID is a good key.",
        )
    return given.decode("ascii")
