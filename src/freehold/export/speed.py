"""How fast engines are: single short texts, the dev texts in batches, and a table of shapes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.clock import Clock, SystemClock
from freehold.export.report import Cell
from freehold.export.sample import Runner, Sample

__all__ = ["BATCH", "BATCHES", "LENGTHS", "Speed", "answers", "best_tuning", "shapes", "speeds"]

BATCH = 32
LENGTHS = (16, 64, 128)  # tokens of the table's texts, as far as the model reads so many
BATCHES = (1, 8, 32)
_SHORT = 16  # tokens of the single texts, as near as the sample has them
_SINGLES = 20  # of them, asked in turn
_TIMED = 128  # texts that throughput is measured on
_ROUNDS = 5
_SECONDS = 15.0  # after which no further round is begun
_NEAR = 1.03  # a plainer way to use the machine is kept unless another is faster by more


@dataclass(frozen=True, slots=True)
class Speed:
    """`p50_ms` of single texts of about `short_tokens` tokens; inputs a second in batches."""

    p50_ms: float
    inputs_per_second: float
    short_tokens: int


def speeds(
    runners: Sequence[Runner],
    sample: Sample,
    *,
    clock: Clock | None = None,
    seconds: float = _SECONDS,
) -> list[Speed]:
    """One Speed a runner. They take turns, so that a busy moment of the machine hits all alike; at
    least one round after the one that warms up, and none is begun after `seconds`."""
    clock = clock or SystemClock()
    timed = sample.drawn(_TIMED, seed=0)
    singles, tokens = _short_ones(runners[0], timed)
    waits: list[list[float]] = [[] for _ in runners]
    paces: list[list[float]] = [[] for _ in runners]
    start = clock.monotonic()
    for turn in range(_ROUNDS + 1):
        for runner, wait, pace in zip(runners, waits, paces, strict=True):
            some = [_seconds(runner, single, clock) for single in singles]
            spent = _seconds(runner, timed, clock)
            if turn:  # the first warms up
                wait.extend(some)
                pace.append(len(timed.examples) / max(spent, 1e-9))
        if turn and clock.monotonic() - start > seconds:
            break
    return [
        Speed(statistics.median(wait) * 1000, statistics.median(pace), tokens)
        for wait, pace in zip(waits, paces, strict=True)
    ]


def best_tuning(
    tunings: Sequence[Mapping[str, int]],
    open_tuned: Callable[[Mapping[str, int]], Runner],
    sample: Sample,
    *,
    clock: Clock | None = None,
    seconds: float,
) -> Mapping[str, int]:
    """The way to use the machine with the most inputs a second in batches; of near equals the first
    one. Only one is not measured."""
    if len(tunings) == 1:
        return tunings[0]
    runners = [open_tuned(tuning) for tuning in tunings]
    found = speeds(runners, sample, clock=clock, seconds=seconds)
    best = max(speed.inputs_per_second for speed in found)
    return next(
        tuning
        for tuning, speed in zip(tunings, found, strict=True)
        if speed.inputs_per_second * _NEAR >= best
    )


def shapes(
    runners: Sequence[Runner],
    sample: Sample,
    *,
    longest: int,
    clock: Clock | None = None,
    seconds: float,
) -> list[tuple[Cell, ...]]:
    """Inputs a second for each runner at each length and batch size, without tokenising. The small
    shapes come first; once `seconds` are over, those that are left are not measured."""
    clock = clock or SystemClock()
    (encoded,) = runners[0].encode([sample.examples[0].input])
    window = encoded.windows[0]
    cells: list[list[Cell]] = [[] for _ in runners]
    lengths = [length for length in LENGTHS if length <= longest] or [longest]
    wished = sorted(
        ((length, batch) for length in lengths for batch in BATCHES), key=lambda s: s[0] * s[1]
    )
    start = clock.monotonic()
    for length, batch in wished:
        if clock.monotonic() - start > seconds:
            break
        windows = [_stretched(window, length)] * batch
        times: list[list[float]] = [[] for _ in runners]
        for turn in range(4):
            for runner, spent in zip(runners, times, strict=True):
                begun = clock.monotonic()
                runner.rows(windows)
                if turn:  # the first prepares the shape
                    spent.append(clock.monotonic() - begun)
            if turn and clock.monotonic() - start > seconds:
                break
        for found, spent in zip(cells, times, strict=True):
            pace = batch / max(statistics.median(spent), 1e-9)
            found.append(Cell(length, batch, pace))
    return [tuple(sorted(row, key=lambda cell: (cell.tokens, cell.batch))) for row in cells]


def answers(runner: Runner, sample: Sample) -> list[NDArray[np.float32]]:
    """Logits of every example, in order, computed in batches of like length."""
    encoded = sample.encode(runner)
    found: dict[int, NDArray[np.float32]] = {}
    for batch in _by_length(encoded):
        found.update(zip(batch, runner.run([encoded[number] for number in batch]), strict=True))
    return [found[number] for number in range(len(encoded))]


def _stretched(window: Any, length: int) -> Any:
    """The window's tokens over and over, `length` of them."""
    types = None if window.types is None else np.resize(window.types, length)
    return replace(window, ids=np.resize(window.ids, length), types=types)


def _seconds(runner: Runner, sample: Sample, clock: Clock) -> float:
    start = clock.monotonic()
    answers(runner, sample)
    return clock.monotonic() - start


def _by_length(encoded: Sequence[Any]) -> list[list[int]]:
    order = sorted(range(len(encoded)), key=lambda number: int(encoded[number].length))
    return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]


def _short_ones(runner: Runner, sample: Sample) -> tuple[list[Sample], int]:
    """The texts nearest 16 tokens, each a sample of its own, and their median length."""
    lengths = [int(encoded.length) for encoded in sample.encode(runner)]
    nearest = sorted(range(len(lengths)), key=lambda number: abs(lengths[number] - _SHORT))
    chosen = nearest[:_SINGLES]
    return [sample.only([number]) for number in chosen], round(
        statistics.median(lengths[number] for number in chosen)
    )
