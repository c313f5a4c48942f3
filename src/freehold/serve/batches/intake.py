"""A batch's file as it comes in: spooled to disk, read line by line, kept whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from freehold.errors import LimitError, StoreError, TooLargeError
from freehold.project import Serve
from freehold.serve.batches.lines import chunks_of, survey
from freehold.serve.batches.ports import BatchStore, Draft, Opened
from freehold.serve.ports import Caller, ModelEngine

__all__ = ["Intake"]

# Files that are received at a time: they take room on the disk, and reading them the interpreter.
_AT_ONCE = 4
_BLOCK = 1 << 18


class Intake:
    """Lives in one event loop."""

    def __init__(self, store: BatchStore, settings: Serve, pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._settings = settings
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._receiving = 0

    async def receive(
        self,
        caller: Caller,
        name: str,
        engine: ModelEngine,
        key: str | None,
        declared: int | None,
        blocks: AsyncIterator[bytes],
        on_part: Callable[[], object],
    ) -> Opened:
        """Keep the batch whose file comes in `blocks`, for the version that answers `name` now;
        `on_part` is called for each part of it, as large as a request may be, that has come.

        `declared` is its length in bytes, if that is known. Raises TooLargeError, InputError for
        bad lines, LimitError, ConflictError and StoreError; nothing of it is kept then.
        """
        limit = self._settings.batch_max_bytes
        if declared is not None and declared > limit:
            raise _too_large(limit)
        if self._receiving >= _AT_ONCE:
            raise LimitError(
                f"{_AT_ONCE} files are being received.", hint="Try again.", retry_after=5.0
            )
        self._receiving += 1
        try:
            return await self._received(caller, name, engine, key, blocks, on_part, limit)
        except OSError as error:
            raise StoreError(
                f"The file could not be kept: {error.strerror}.", hint="Try again later."
            ) from error
        finally:
            self._receiving -= 1

    async def _received(
        self,
        caller: Caller,
        name: str,
        engine: ModelEngine,
        key: str | None,
        blocks: AsyncIterator[bytes],
        on_part: Callable[[], object],
        limit: int,
    ) -> Opened:
        folder = self._store.folder
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=_BLOCK) as file:
            digest = hashlib.sha256(name.encode() + b"\0")
            size = parts = 0
            async for block in blocks:
                size += len(block)
                if size > limit:
                    raise _too_large(limit)
                if size // self._settings.max_body_bytes > parts:
                    parts = size // self._settings.max_body_bytes
                    on_part()
                digest.update(block)
                file.write(block)
            return await self._loop.run_in_executor(
                self._pool, self._keep, file, caller, engine, key, digest.hexdigest()
            )

    def _keep(
        self, file: IO[bytes], caller: Caller, engine: ModelEngine, key: str | None, digest: str
    ) -> Opened:
        """In another thread."""
        if key is not None:
            known = self._store.known(caller.customer_id, key, digest)
            if known is not None:
                return Opened(known, new=False)
        meta = engine.meta
        file.seek(0)
        spans = survey(
            file,
            meta,
            max_inputs=self._settings.max_inputs,
            max_lines=self._settings.batch_max_lines,
            max_line_bytes=self._settings.max_body_bytes,
        )
        total = sum(span.lines for span in spans)
        draft = Draft(caller, meta.model, meta.version, total, key, digest)
        return self._store.add(draft, lambda: chunks_of(file, spans))


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The file is larger than {limit:,} bytes.", hint="Send its lines in several."
    )
