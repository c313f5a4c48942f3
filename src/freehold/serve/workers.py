"""Several server processes on one port: started, started again when one dies, drained together.

Each worker listens by itself with SO_REUSEPORT, so that the kernel deals out connections among
those that live. Measured with 32 connections that were opened at once, over two workers: the lesser
got 13.6 of them on average and 9 at least, while of two workers that accepted from one socket the
first to wake took most, and sometimes all. Whoever dies takes with it the connections it had; new
ones go to the others until it is back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Sequence

from freehold.errors import UnavailableError
from freehold.project import Serve
from freehold.serve.listening import bound, listen, url_of
from freehold.serve.logs import log_as_json
from freehold.serve.worker import READY, VARIABLE, Worker

__all__ = ["supervise"]

_log = logging.getLogger("freehold.serve")
# A worker that ended is started again after this long, twice as long each time that it ended
# before it was ready, at most the second figure.
_AGAIN_SECONDS = 0.1
_MOST_SECONDS = 30.0


def supervise(
    command: Sequence[str], settings: Serve, *, on_ready: Callable[[str], None] | None = None
) -> None:
    """Run `settings.workers` processes of `command` until SIGTERM or SIGINT, then let them drain.

    `on_ready` gets the URL once all of them answer. Raises UnavailableError if the address cannot
    be listened on, or if a worker ends before all have answered once.
    """
    # Who listens without sharing is refused while anyone listens, and anyone who does not share is
    # refused while the workers do: so no two servers take each other's requests.
    with listen(settings.host, settings.port) as probe:
        url, port = url_of(probe), probe.getsockname()[1]
    undo = log_as_json()
    try:
        with (
            bound(settings.host, port, shared=True),  # also while no worker lives
            tempfile.TemporaryDirectory(prefix="freehold-") as folder,
        ):
            crew = _Crew(command, settings, port, folder)
            asyncio.run(crew.run(lambda: on_ready(url) if on_ready else None))
    finally:
        undo()


class _Crew:
    """The workers of one server; lives in an event loop of its own."""

    def __init__(self, command: Sequence[str], settings: Serve, port: int, folder: str) -> None:
        self._command = command
        self._settings = dataclasses.replace(settings, port=port)
        self._folder = folder
        self._count = settings.workers
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._answered: set[int] = set()
        self._all = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        kept = [asyncio.create_task(self._keep(index)) for index in range(self._count)]
        announced = asyncio.create_task(self._announce(on_ready))
        try:
            await asyncio.gather(*kept)
        except UnavailableError:
            self._stop(signal.SIGTERM)
            await asyncio.gather(*kept, return_exceptions=True)
            raise
        finally:
            announced.cancel()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(number)

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await self._all.wait()
        on_ready()

    def _stop(self, number: int) -> None:
        """Asked twice, the workers are asked twice, too: they do not wait for clients then."""
        self._stopping.set()
        self._tell(number)

    def _tell(self, number: int) -> None:
        for process in self._running.values():
            if process.returncode is None:
                process.send_signal(number)

    async def _keep(self, index: int) -> None:
        """Have worker `index` run until all are to stop."""
        wait = _AGAIN_SECONDS
        while not self._stopping.is_set():
            ready, code = await self._live(index)
            if self._stopping.is_set():
                return
            if not self._all.is_set():
                raise UnavailableError(
                    f"Worker {index} ended with {code} before the server was ready.",
                    hint="What it said stands above.",
                )
            wait = _AGAIN_SECONDS if ready else min(2 * wait, _MOST_SECONDS)
            _log.error("worker %d ended with %d; it is started again", index, code)
            await self._pause(wait)

    async def _live(self, index: int) -> tuple[bool, int]:
        """One life of a worker: whether it answered, and its exit status (minus a signal's
        number)."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.set_inheritable(True)
            worker = Worker(index, self._count, theirs.fileno(), self._folder, self._settings)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, VARIABLE: worker.said()},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                # Ctrl-C reaches a terminal's whole group; we pass it on, once.
                start_new_session=True,
            )
            theirs.close()
            self._running[index] = process
            if self._stopping.is_set():
                process.send_signal(signal.SIGTERM)
            ours.setblocking(False)
            heard = await asyncio.get_running_loop().sock_recv(ours, len(READY))
            ready = heard == READY
            if ready:
                self._answered.add(index)
                if len(self._answered) == self._count:
                    self._all.set()
            return ready, await process.wait()

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
