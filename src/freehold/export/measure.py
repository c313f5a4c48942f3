"""How fast and how right each candidate is, through the very engine that will serve it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.clock import Clock, SystemClock
from freehold.export.candidates import Candidate
from freehold.export.report import CandidateReport, ExportReport
from freehold.export.sample import Runner, Sample
from freehold.tasks.base import Task
from freehold.tasks.registry import task_of

__all__ = [
    "Built",
    "Measured",
    "OpenEngine",
    "Speed",
    "answers",
    "choose",
    "measure",
    "speeds",
]

BATCH = 32
_SHORT = 16  # tokens of the single texts, as near as the sample has them
_SINGLES = 20  # of them, asked in turn
_TIMED = 256  # texts that throughput is measured on
_ROUNDS = 5
_SECONDS = 20.0  # after which no further round is begun
_ROUNDING = 1e-9  # a score exactly at the budget is within it


class OpenEngine(Protocol):
    def __call__(self, bundle: Path, /, *, threads: int | None = None) -> Runner:
        """Open a bundle's folder. Export comes before serve, so its caller hands it this."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A candidate's bundle, complete but for the figures."""

    candidate: Candidate
    folder: Path


@dataclass(frozen=True, slots=True)
class Speed:
    """`p50_ms` of single texts of about `short_tokens` tokens; inputs a second in batches."""

    p50_ms: float
    inputs_per_second: float
    short_tokens: int


@dataclass(frozen=True, slots=True)
class Measured:
    """All candidates' figures, in the order they were built; `n` examples were scored."""

    built: Sequence[Built]
    reports: tuple[CandidateReport, ...]
    short_tokens: int
    metric: str
    torch_score: float | None
    n: int


def measure(
    built: Sequence[Built],
    sample: Sample,
    checkpoint: Path,
    open_engine: OpenEngine,
    *,
    budget: float,
    threads: int | None,
    settings: Mapping[str, Any],
    step: Callable[[str], None],
) -> Measured:
    """Score every candidate and torch on the sample, and time the candidates."""
    from freehold.train.checkpoint import read_meta
    from freehold.train.predict import logits

    meta = read_meta(checkpoint)
    task = task_of(meta.task)
    runners = [open_engine(item.folder, threads=threads) for item in built]
    torch_score: float | None = None
    scored: list[tuple[float, float] | None] = [None] * len(built)
    if sample.scored:
        examples = sample.examples
        step(f"scoring {len(examples):,} dev examples with torch")
        expected = logits(checkpoint, examples)
        torch_score = _score(task, examples, expected, meta.labels, settings)
        for place, runner in enumerate(runners):
            step(f"scoring them with {built[place].candidate.name}")
            found = answers(runner, sample)
            scored[place] = (
                _score(task, examples, found, meta.labels, settings),
                task.agreement(found, expected, meta.labels, settings),
            )
    step("timing " + " and ".join(item.candidate.name for item in built))
    timed = speeds(runners, sample)
    lowest = None if torch_score is None else torch_score - budget - _ROUNDING
    return Measured(
        built,
        tuple(map(_report, built, timed, scored, [lowest] * len(built))),
        timed[0].short_tokens,
        task.score_name,
        torch_score,
        len(sample.examples) if sample.scored else 0,
    )


def choose(
    measured: Measured, out: Path, *, budget: float, threads: int | None
) -> tuple[Built, ExportReport]:
    """The candidate with the most inputs a second of those within the budget; where none is, the
    one with the best score."""
    reports = measured.reports
    accepted = [report for report in reports if report.accepted]
    if accepted:
        best = max(accepted, key=lambda report: report.inputs_per_second)
    else:
        best = max(reports, key=lambda report: report.dev_score or 0.0)
    return measured.built[reports.index(best)], ExportReport(
        bundle=out,
        engine=best.engine,
        precision=best.precision,
        size_mb=best.size_mb,
        p50_ms=best.p50_ms,
        inputs_per_second=best.inputs_per_second,
        agreement=best.agreement,
        dev_score=best.dev_score,
        n=measured.n,
        metric=measured.metric,
        torch_score=measured.torch_score,
        budget=budget,
        threads=threads,
        short_tokens=measured.short_tokens,
        batch=BATCH,
        candidates=reports,
    )


def speeds(runners: Sequence[Runner], sample: Sample, *, clock: Clock | None = None) -> list[Speed]:
    """One Speed a runner. They take turns, so that a busy moment of the machine hits all alike."""
    clock = clock or SystemClock()
    timed = sample.drawn(_TIMED, seed=0)
    singles, tokens = _short_ones(runners[0], timed)
    waits: list[list[float]] = [[] for _ in runners]
    paces: list[list[float]] = [[] for _ in runners]
    start = clock.monotonic()
    for turn in range(_ROUNDS + 1):
        for runner, wait, pace in zip(runners, waits, paces, strict=True):
            some = [_seconds(runner, single, clock) for single in singles]
            seconds = _seconds(runner, timed, clock)
            if turn:  # the first warms up
                wait.extend(some)
                pace.append(len(timed.examples) / max(seconds, 1e-9))
        if turn and clock.monotonic() - start > _SECONDS:
            break
    return [
        Speed(statistics.median(wait) * 1000, statistics.median(pace), tokens)
        for wait, pace in zip(waits, paces, strict=True)
    ]


def _report(
    built: Built, speed: Speed, scored: tuple[float, float] | None, lowest: float | None
) -> CandidateReport:
    score, agreement = scored or (None, None)
    return CandidateReport(
        engine=built.candidate.engine,
        precision=built.candidate.precision,
        size_mb=sum(path.stat().st_size for path in built.folder.iterdir()) / 1e6,
        p50_ms=speed.p50_ms,
        inputs_per_second=speed.inputs_per_second,
        agreement=agreement,
        dev_score=score,
        accepted=score is None or lowest is None or score >= lowest,
    )


def answers(runner: Runner, sample: Sample) -> list[NDArray[np.float32]]:
    """Logits of every example, in order, computed in batches of like length."""
    encoded = sample.encode(runner)
    found: dict[int, NDArray[np.float32]] = {}
    for batch in _by_length(encoded):
        found.update(zip(batch, runner.run([encoded[number] for number in batch]), strict=True))
    return [found[number] for number in range(len(encoded))]


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


def _score(
    task: Task,
    examples: Sequence[Any],
    logits: Sequence[NDArray[np.float32]],
    labels: Sequence[str],
    settings: Mapping[str, Any],
) -> float:
    """The task's own figure (accuracy of texts, entity F1 of tagged words …), as `freehold
    evaluate` has it."""
    return task.measure(examples, logits, labels, settings).all()[task.score_name]
