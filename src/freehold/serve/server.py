"""A server as a process (until SIGTERM) or in a thread (for tests and the demo)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Self, TextIO

import uvicorn

from freehold.clock import Clock
from freehold.project import Serve
from freehold.serve.batches.ports import BatchStore
from freehold.serve.factory import Service, create_app
from freehold.serve.listening import BACKLOG, listen, url_of
from freehold.serve.logs import log_as_json
from freehold.serve.ports import Gate, ModelEngine
from freehold.serve.protocol import Limits, ServeProtocol
from freehold.serve.releases import Source
from freehold.serve.worker import Worker

__all__ = ["SWITCH_SECONDS", "ServerThread", "listen", "serve", "url_of"]

_log = logging.getLogger("freehold.serve")
_KEEP_ALIVE_SECONDS = 75
_TICKS = 5  # of uvicorn's, which are a tenth of a second, between checks for slow clients
# A thread that comes back from the engine waits this long at most for the interpreter, which the
# event loop holds; Python's own 5 ms is as long as a small batch.
SWITCH_SECONDS = 0.001


def serve(
    models: Mapping[str, ModelEngine],
    gate: Gate,
    settings: Serve,
    *,
    clock: Clock | None = None,
    on_ready: Callable[[str], None] | None = None,
    log: TextIO | None = None,
    worker: Worker | None = None,
    batches: BatchStore | None = None,
    source: Source | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then stop accepting, finish what was begun, and return.

    `on_ready` gets the URL once requests are answered. Logs go to `log`, stderr if not given. A
    `worker` shares its port with others and stops with its supervisor. To be called in the main
    thread. Raises UnavailableError if the address cannot be listened on.
    """
    listener = listen(settings.host, settings.port, shared=worker is not None)
    undo = log_as_json(log, worker.index if worker else None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        service = Service(
            models,
            gate,
            settings,
            clock=clock,
            log=log or sys.stderr,
            worker=worker,
            batches=batches,
            source=source,
        )
        server = _Server(service, listener, on_ready)
        # What is there now stays: looking through it for garbage again and again would hold up
        # requests for tens of milliseconds.
        gc.collect()
        gc.freeze()
        server.run([listener])
    finally:
        sys.setswitchinterval(interval)
        undo()
        listener.close()


class ServerThread:
    """A real server in a thread, as a context manager: `url` while it runs, drained at the end."""

    def __init__(
        self,
        models: Mapping[str, ModelEngine],
        gate: Gate,
        settings: Serve,
        *,
        clock: Clock | None = None,
        log: TextIO | None = None,
        batches: BatchStore | None = None,
        source: Source | None = None,
    ) -> None:
        """As `serve`; without `log` there are no request lines, and loggers stay as they are."""
        self._service = Service(
            models, gate, settings, clock=clock, log=log, batches=batches, source=source
        )
        self._listener = listen(settings.host, settings.port)
        self._ready = threading.Event()
        self._server = _Server(self._service, self._listener, lambda _: self._ready.set())
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="freehold-server", daemon=True)
        self.url = url_of(self._listener)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Drain and stop, as SIGTERM would; once is enough."""
        self._server.stop()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._server.run([self._listener])
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it
            self._failure = error
        finally:
            self._listener.close()
            self._ready.set()


class _Server(uvicorn.Server):
    """Uvicorn with our own signals: it returns after a drain instead of dying of the signal."""

    def __init__(
        self,
        service: Service,
        listener: socket.socket,
        on_ready: Callable[[str], None] | None,
    ) -> None:
        settings = service.settings
        super().__init__(
            uvicorn.Config(
                create_app(service),
                http=partial(  # type: ignore[arg-type]  # it is called, whatever it is
                    ServeProtocol, limits=Limits(settings.max_connections, settings.receive_seconds)
                ),
                ws="none",
                loop="uvloop" if _has_uvloop() else "asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=settings.drain_seconds,
                backlog=BACKLOG,
            )
        )
        self._service = service
        self._url = url_of(listener)
        self._on_ready = on_ready

    def stop(self) -> None:
        """Begin to drain; safe from any thread and from a signal's handler."""
        self._service.draining = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._service.worker is not None:
            self._service.worker.attach(self.stop)
        if self._on_ready is not None:
            self._on_ready(self._url)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS == 0:
            for connection in list(self.server_state.connections):
                if isinstance(connection, ServeProtocol):
                    connection.check()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._service.draining = True
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        handled = (signal.SIGTERM, signal.SIGINT)
        for number in handled:
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, self._service.releases.wake)
        try:
            yield
        finally:
            for number in (*handled, signal.SIGHUP):
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self.should_exit:
            self.force_exit = True  # asked twice: do not wait for clients any longer
        self.stop()


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401 - only whether it is there
    except ImportError:
        return False
    return True
