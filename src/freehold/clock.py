"""The only source of "now"; tests and simulations set it, everything else is handed one."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from freehold.errors import InputError

__all__ = [
    "Clock",
    "ManualClock",
    "SteadyClock",
    "SystemClock",
    "format_time",
    "parse_span",
    "parse_time",
]

_SPAN = re.compile(r"(\d{1,5})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


class Clock(Protocol):
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.perf_counter()


class SteadyClock:
    """Another clock, held where it was while that has been set back by at most an hour.

    What is recorded by it never goes back: usage does not slip into a month whose invoices were
    made before the clock was corrected. Set back by more, it follows: then it had been wrong.
    Safe to use from several threads.
    """

    MOST = timedelta(hours=1)

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        at = self._clock.now()
        with self._lock:
            if not timedelta(0) < self._last - at <= self.MOST:
                self._last = at
            return self._last

    def monotonic(self) -> float:
        return self._clock.monotonic()


@dataclass
class ManualClock:
    """A clock that stands still until it is told to move."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    elapsed: float = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.elapsed

    def advance(self, **delta: float) -> None:
        step = timedelta(**delta)
        self.at += step
        self.elapsed += step.total_seconds()


def format_time(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`: sorts as text in the order of time."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The inverse of `format_time`; also takes any ISO 8601 time with an offset."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC)


def parse_span(text: str) -> timedelta:
    """`90d` -> 90 days; s, m, h, d and w are known. Raises InputError for anything else."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{text!r} is not a span of time.",
            hint="Write a number with s, m, h, d or w, such as 24h or 90d.",
        )
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
