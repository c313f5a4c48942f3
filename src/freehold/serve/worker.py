"""One of several server processes: who it is, its line to the supervisor, and its peers' figures.

A worker is told what it is by the supervisor (`serve.workers`), in its environment. It says
"ready" on its line once it answers, and drains when the line is cut, since then nobody is left who
would start, stop or count it. Its figures are read by its peers over a socket in a folder that only
this user may enter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from freehold.project import Serve
from freehold.serve.cores import usable_cores

__all__ = ["VARIABLE", "Figures", "Worker", "threads_of"]

VARIABLE = "FREEHOLD_WORKER"
READY = b"ready\n"
_ASK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Worker:
    """Worker `index` of `count`; `line` is the file descriptor of its end of a socket to the
    supervisor, `folder` where each worker's figures are asked for, `settings` what all serve by."""

    index: int
    count: int
    line: int
    folder: str
    settings: Serve

    @classmethod
    def of(cls, environ: MutableMapping[str, str] = os.environ) -> Worker | None:
        """What this process was started as; None where it is no worker. Taken out of the
        environment, so that no process of its own is taken for one."""
        given = environ.pop(VARIABLE, "")
        return msgspec.json.decode(given, type=cls) if given else None

    def said(self) -> str:
        """For the environment of the process that is to be this worker."""
        return msgspec.json.encode(self).decode()

    def attach(self, on_cut: Callable[[], object]) -> None:
        """In the event loop: say that it answers; call `on_cut` once the supervisor is gone."""
        line = socket.socket(fileno=self.line)
        line.setblocking(False)
        loop = asyncio.get_running_loop()

        def heard() -> None:
            with contextlib.suppress(BlockingIOError):
                if not _received(line):
                    loop.remove_reader(line)
                    line.close()
                    on_cut()

        loop.add_reader(line, heard)
        with contextlib.suppress(OSError):  # a supervisor that is gone is noticed by the reader
            line.send(READY)


class Figures:
    """Every worker's figures: its own are given to peers that ask, theirs are asked for."""

    def __init__(self, worker: Worker, own: Callable[[], bytes]) -> None:
        self._worker = worker
        self._own = own
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        path = self._path(self._worker.index)
        path.unlink(missing_ok=True)  # that of a worker before, who died
        self._server = await asyncio.start_unix_server(self._give, path)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def all(self) -> Mapping[str, bytes]:
        """By worker; one that does not answer, as it is starting or stopping, is left out."""
        peers = [index for index in range(self._worker.count) if index != self._worker.index]
        found = await asyncio.gather(*(self._ask(index) for index in peers))
        every = {**dict(zip(peers, found, strict=True)), self._worker.index: self._own()}
        return {str(index): figures for index, figures in sorted(every.items()) if figures}

    async def _ask(self, index: int) -> bytes:
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path(index))
                try:
                    return await reader.read()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return b""

    async def _give(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):  # whoever asked may have gone
            writer.write(self._own())
            await writer.drain()
        writer.close()

    def _path(self, index: int) -> Path:
        return Path(self._worker.folder) / f"{index}.sock"


def threads_of(settings: Serve, worker: Worker | None) -> int | None:
    """Threads of one process's engine; None: the engine's own choice. Workers share the threads
    that one process would have, as more than the machine has cores would only take turns."""
    if worker is None:
        return settings.threads or None
    return max(1, (settings.threads or usable_cores()) // worker.count)


def _received(line: socket.socket) -> bytes:
    try:
        return line.recv(64)
    except ConnectionError:
        return b""
