"""The FastAPI app of one server: the models' endpoint, and what operators and readers ask for."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, TextIO

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from freehold import __version__
from freehold.clock import Clock, SystemClock
from freehold.errors import FreeholdError, StoreError, UnavailableError
from freehold.project import Serve
from freehold.serve import listing, openapi, page
from freehold.serve.batcher import Batcher
from freehold.serve.batches.desk import Desk
from freehold.serve.batches.ports import BatchStore
from freehold.serve.batches.routes import add_routes as add_batches
from freehold.serve.callers import Callers
from freehold.serve.contracts import contract_at, contracts
from freehold.serve.http import Front
from freehold.serve.logs import RequestLog
from freehold.serve.metrics import CONTENT_TYPE_LATEST, Metrics, together
from freehold.serve.ports import Caller, Gate, ModelEngine
from freehold.serve.releases import Releases, Source
from freehold.serve.reply import Reply, new_request_id
from freehold.serve.worker import Figures, Worker

__all__ = ["Service", "create_app"]

_PING_SECONDS = 5.0
_log = logging.getLogger("freehold.serve")


class Service:
    """What one running server holds. `start` and `stop` run in its event loop."""

    def __init__(
        self,
        models: Mapping[str, ModelEngine],
        gate: Gate,
        settings: Serve,
        *,
        clock: Clock | None = None,
        log: TextIO | None = sys.stderr,
        worker: Worker | None = None,
        batches: BatchStore | None = None,
        source: Source | None = None,
    ) -> None:
        """`models` by the name in the path; each is found as MODEL@VERSION too. `log`: where a line
        for each request goes, None for nowhere. `worker`: which of several processes this is.
        `batches`: who keeps them, None: none are taken. `source`: what is to be loaded later on,
        None: nothing else."""
        self.gate = gate
        self.settings = settings
        self.clock = clock or SystemClock()
        self.metrics = Metrics()
        self.worker = worker
        self._peers = Figures(worker, self.metrics.figures) if worker is not None else None
        self.releases = Releases(models, source, self.metrics, self.clock, settings.follow_seconds)
        self.metrics.watch_releases(lambda: self.releases.table)
        self.draining = False
        self.desk: Desk | None = None
        self._batches = batches
        self._stream = log
        self._front: Front | None = None
        self._callers: Callers | None = None
        self._batcher: Batcher | None = None
        self._log: RequestLog | None = None
        self.pool: ThreadPoolExecutor | None = None

    @property
    def front(self) -> Front:
        assert self._front is not None, "the app's lifespan has not begun"
        return self._front

    async def caller(self, authorization: str | None) -> Caller:
        """Who sends this Authorization header. Raises AuthError and StoreError."""
        assert self._callers is not None, "the app's lifespan has not begun"
        return await self._callers.of((authorization or "").encode("latin-1"))

    @property
    def named(self) -> dict[str, ModelEngine]:
        """The live engine of each model, by the name in the path."""
        return {name: route.live for name, route in self.releases.table.named.items()}

    @property
    def models(self) -> dict[str, ModelEngine]:
        """Every engine by the names that it is found under, MODEL@VERSION included."""
        exact = {name: route.live for name, route in self.releases.table.exact.items()}
        return {**exact, **self.named}

    def find(self, name: str, caller: Caller) -> ModelEngine:
        """The engine that answers a name, for a caller. Raises NotFoundError, and ForbiddenError
        where the caller's key is for other models."""
        return self.releases.find(name, caller)

    def listed(self, caller: Caller) -> list[tuple[str, ModelEngine]]:
        """The models that a caller may ask, by the names that are shown, in order."""
        named = sorted(self.named.items())
        return [(name, e) for name, e in named if caller.may(e.meta.model, e.meta.version)]

    def versions(self, caller: Caller) -> list[tuple[str, int]]:
        """Model and version of all that a caller may ask, in order."""
        found = {(engine.meta.model, engine.meta.version) for engine in self.models.values()}
        return sorted(one for one in found if caller.may(*one))

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="freehold-ask")
        self._batcher = Batcher(
            self.gate.settle,
            batch_tokens=self.settings.batch_tokens,
            queue_tokens=self.settings.queue_tokens,
            observer=self.releases.watch,
            clock=self.clock,
        )
        await loop.run_in_executor(self.pool, self.releases.start, self._batcher.aside)
        self.metrics.watch_queue(lambda: self._batcher.tokens if self._batcher else 0)
        self._callers = Callers(self.gate, self.pool)
        self._log = RequestLog(
            self._stream, loop.call_later, self.clock, self.worker.index if self.worker else None
        )
        if self._peers is not None:
            await self._peers.open()
        self._front = Front(
            self.releases,
            self.gate,
            self._callers,
            self.settings,
            self._batcher,
            self.metrics,
            self._log,
            self.clock,
            self.pool,
        )
        if self._batches is not None:
            self.desk = Desk(
                self._batches,
                self.gate,
                self._batcher,
                self.settings,
                self.clock,
                find=self.find,
                loaded=self._loaded,
                stopping=lambda: self.draining,
            )

    def _loaded(self) -> set[tuple[str, int]]:
        """Every version that it can answer with."""
        return {(engine.meta.model, engine.meta.version) for engine in self.models.values()}

    async def stop(self) -> None:
        """Finish everything that was accepted, then stop the threads."""
        self.draining = True
        if self._peers is not None:
            await self._peers.close()
        if self._batcher is not None:
            try:
                async with asyncio.timeout(max(1, self.settings.drain_seconds)):
                    if self.desk is not None:
                        await self.desk.stop()
                    await self._batcher.close()
            except TimeoutError:
                _log.error("gave up on requests that the engine or the database did not finish")
        if self._log is not None:
            self._log.flush()
        if self.pool is not None:
            # After the drain, so that the last answers are counted too.
            await asyncio.get_running_loop().run_in_executor(self.pool, self.releases.stop)
            self.pool.shutdown()

    async def figures(self) -> bytes:
        """This server's figures for Prometheus, of all its processes."""
        return self.metrics.text() if self._peers is None else together(await self._peers.all())

    def require_engine(self) -> None:
        """Return if this process is sound, whatever the database does. Raises UnavailableError."""
        if self._batcher is None or not self._batcher.alive:
            raise UnavailableError("The engine has stopped.", hint="Restart the server.")

    async def ready(self) -> None:
        """Return if a request could be answered now. Raises UnavailableError."""
        if self.draining:
            raise UnavailableError("This server is stopping.")
        if not self.models:
            raise UnavailableError("No model is loaded.", hint="Promote and export one.")
        self.require_engine()
        loop = asyncio.get_running_loop()
        try:
            asked = loop.run_in_executor(self.pool, self.gate.ping)
            await asyncio.wait_for(asyncio.shield(asked), _PING_SECONDS)
        except TimeoutError:
            raise UnavailableError("The database does not answer.") from None
        except StoreError as error:
            # Who asks here has no key, so the database's name and reason stay in the log.
            raise UnavailableError("The database does not answer.") from error


class _App(FastAPI):
    """FastAPI, with a short cut past its routing for the paths that have to be fast."""

    def __init__(self, service: Service, **options: Any) -> None:
        super().__init__(**options)
        self.service = service
        self._contracts = contracts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        if scope["method"] == "POST":
            path = scope["path"]
            for contract in self._contracts:
                if contract.asks(path):
                    return await self.service.front(contract, scope, receive, send)
        return await super().__call__(scope, receive, _identified(send))


def create_app(service: Service) -> FastAPI:
    """The app; its lifespan starts and drains the service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        # Not in a `finally`: a server that is cut off does not wait for what it has begun.
        await service.stop()

    app = _App(
        service,
        title="Freehold",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own pages fetch scripts from elsewhere and stay blank offline
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _on_http_error,
            RequestValidationError: _on_invalid,
            FreeholdError: _on_error,
            Exception: _on_crash,
        },
    )
    described = openapi.document(
        service.settings, {name: engine.meta.task for name, engine in service.named.items()}
    )
    app.openapi = lambda: described  # type: ignore[method-assign]  # FastAPI's documented way
    _add_routes(app, service, page.render(described))
    return app


def _add_routes(app: FastAPI, service: Service, docs: str) -> None:
    for contract in contracts():
        contract.routes(app, service)
    add_batches(app, service)

    @app.get("/models")
    async def models(request: Request) -> Response:
        caller = await service.caller(request.headers.get("authorization"))
        return _json(listing.models(service.releases.table, caller))

    @app.get("/health")
    async def health() -> Response:
        return _json({"status": "alive"})

    @app.get("/ready")
    async def ready() -> Response:
        await service.ready()
        return _json({"status": "ready"})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await service.figures(), headers={"content-type": CONTENT_TYPE_LATEST})

    @app.get("/docs")
    async def documentation() -> Response:
        return HTMLResponse(docs)


def _identified(send: Send) -> Send:
    """Every response carries a request id."""

    async def wrapped(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            message = {
                **message,
                "headers": [*headers, (b"x-request-id", new_request_id().encode())],
            }
        await send(message)

    return wrapped


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


def _response(reply: Reply, extra: Mapping[str, str] | None = None) -> Response:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(
        reply.body,
        reply.status,
        headers={**headers, **(extra or {})},
        media_type="application/json",
    )


def _failure(request: Request, error: FreeholdError) -> Response:
    return _response(contract_at(request.url.path).failure(error))


def _refusal(
    request: Request, status: int, text: str, extra: Mapping[str, str] | None = None
) -> Response:
    """An error of HTTP itself, in the shape of the path's contract."""
    error = FreeholdError(text)
    error.status = status
    return _response(contract_at(request.url.path).failure(error), extra)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FreeholdError)
    return _failure(request, error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    extra = dict(error.headers or {})
    if error.status_code == HTTPStatus.NOT_FOUND:
        said = "There is nothing at this path. /docs shows what there is."
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        named = {name.lower(): value for name, value in extra.items()}
        said = f"This path takes {named.get('allow', 'another method')} only."
    else:
        said = f"{HTTPStatus(error.status_code).phrase}."
    return _refusal(request, error.status_code, said, extra)


async def _on_invalid(request: Request, error: Exception) -> Response:
    return _refusal(request, 422, "The request is not usable. /docs shows what is expected.")


async def _on_crash(request: Request, error: Exception) -> Response:
    return _failure(request, FreeholdError("The server failed to answer.", hint="Try again."))
