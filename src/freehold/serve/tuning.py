"""How an engine uses the machine: threads, streams, and shapes that are few enough to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MOST_ROWS", "MOST_TOKENS", "STEP", "Tuning", "padded", "pieces"]

# Beyond these a call is no more efficient per token, and takes more memory: MiniLM-L6 in OpenVINO,
# 4.2 ms a row of 16 tokens at 32 rows and at 256.
MOST_ROWS = 32
MOST_TOKENS = 2048
STEP = 8
_FINE = 8  # steps up to which lengths are rounded by `step`; by twice as much up to twice as far …


@dataclass(frozen=True, slots=True)
class Tuning:
    """`threads` of all calls together; `streams`: how many calls run beside each other, each with
    its share of the threads; `step`: lengths are rounded up to multiples of it (1: they are not).
    An engine without streams or without memory of shapes takes no notice of those."""

    threads: int
    streams: int = 1
    step: int = STEP

    @classmethod
    def of(cls, recorded: Mapping[str, Any], cores: int, threads: int | None = None) -> Tuning:
        """What was found best when the model was exported, as far as this machine has the cores;
        `threads` that are asked for win."""
        used = threads or min(cores, int(recorded.get("threads", cores)))
        streams = int(recorded.get("streams", 1))
        return cls(used, max(1, min(streams, used)), max(1, int(recorded.get("step", STEP))))


def padded(length: int, step: int, longest: int) -> int:
    """The length that `length` tokens are padded to: steps that grow with it, so that few lengths
    stand for all and none is padded by much more than an eighth; at most `longest`."""
    if step <= 1:
        return length
    while length > _FINE * step:
        step *= 2
    return min(-(-length // step) * step, max(length, longest))


def pieces(rows: int, length: int, streams: int = 1) -> list[slice]:
    """A batch's rows in parts whose sizes are powers of two: six sizes stand for all, and no row is
    added. At most MOST_ROWS rows, MOST_TOKENS tokens and a stream's share in each."""
    most = min(MOST_ROWS, MOST_TOKENS // max(1, length), -(-rows // streams))
    found, start = [], 0
    while start < rows:
        size = _power_of_two(min(rows - start, max(1, most)))
        found.append(slice(start, start + size))
        start += size
    return found


def _power_of_two(number: int) -> int:
    """The largest that is not above."""
    return 1 << (number.bit_length() - 1)
