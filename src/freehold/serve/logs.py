"""One JSON line per request and per remark, on stderr; never a text, never a key."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any, TextIO

import msgspec

from freehold.clock import Clock, SystemClock, format_time
from freehold.errors import FreeholdError

__all__ = ["JsonFormatter", "RequestLog", "log_as_json"]

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines


class RequestLog:
    """Collects lines and writes them together, a few times a second: a write each would cost more
    than the rest of a request's bookkeeping. `schedule(delay, call)` runs the next write. Of
    several processes, each line tells which `worker` wrote it."""

    DELAY = 0.1
    _BOUND = 1000

    def __init__(
        self,
        stream: TextIO | None,
        schedule: Callable[[float, Callable[[], None]], object],
        clock: Clock | None = None,
        worker: int | None = None,
    ) -> None:
        self._stream = stream
        self._schedule = schedule
        self._worker = worker
        self._clock = clock or SystemClock()
        self._lines: list[dict[str, Any]] = []

    def write(self, fields: dict[str, Any]) -> None:
        """Add a line; `fields` hold identifiers and figures only."""
        if self._stream is None:
            return
        fields["at"] = self._clock.now()
        if self._worker is not None:
            fields["worker"] = self._worker
        self._lines.append(fields)
        if len(self._lines) == 1:
            self._schedule(self.DELAY, self.flush)
        elif len(self._lines) >= self._BOUND:
            self.flush()

    def flush(self) -> None:
        """Write what was collected. Where nothing can be written, as on a full disk or into a pipe
        that nobody reads any more, the lines are lost and answers go on."""
        if self._lines and self._stream is not None:
            lines, self._lines = self._lines, []
            with contextlib.suppress(OSError):
                self._stream.write(_encode_lines(lines).decode())
                self._stream.flush()


class JsonFormatter(logging.Formatter):
    """A log record as one JSON line. Of a foreign exception it keeps the type and where it was
    raised, not its message, which could quote a customer's text."""

    def __init__(self, clock: Clock | None = None, worker: int | None = None) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": format_time(self._clock.now()),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["error"] = type(error).__name__
            if isinstance(error, FreeholdError):
                line["reason"] = error.message
            line["where"] = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__)
            ]
        return _encode(line).decode()


def log_as_json(stream: TextIO | None = None, worker: int | None = None) -> Callable[[], None]:
    """Send our and uvicorn's remarks to `stream` (stderr) as JSON; call the result to undo."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter(worker=worker))
    loggers = [logging.getLogger(name) for name in ("freehold", "uvicorn")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger, level in zip(loggers, (logging.INFO, logging.WARNING), strict=True):
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False

    def undo() -> None:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate

    return undo
