"""Ctrl-C and the caller's wish as one question, asked between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Stop", "stoppable"]


class Stop:
    """Whether the run should end: asked by Ctrl-C, or by the caller's own function."""

    def __init__(self, should_stop: Callable[[], bool] | None) -> None:
        self.asked = False
        self._should_stop = should_stop

    def __call__(self) -> bool:
        return self.asked or (self._should_stop is not None and self._should_stop())


@contextmanager
def stoppable(should_stop: Callable[[], bool] | None) -> Iterator[Stop]:
    """The first Ctrl-C asks for a stop between two steps, so that the state is whole; a second one
    acts at once. Signals reach only the main thread; elsewhere `should_stop` is the way."""
    stop = Stop(should_stop)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.asked = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
