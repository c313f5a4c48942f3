"""How right and how fast each candidate is, through the very engine that will serve it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.export.candidates import Candidate
from freehold.export.report import CandidateReport, Cell, ExportReport, LeftOut
from freehold.export.sample import Runner, Sample
from freehold.export.speed import BATCH, Speed, answers, best_tuning, shapes, speeds
from freehold.tasks.base import Measured as Figures
from freehold.tasks.base import Task
from freehold.tasks.registry import task_of

if TYPE_CHECKING:
    from freehold.train.checkpoint import Meta

__all__ = ["Built", "Measured", "OpenEngine", "choose", "measure"]

_ROUNDING = 1e-9  # a score exactly at the budget is within it
_TUNED = 64  # texts that ways to use the machine are compared on
# Shares of the time for measuring: for tuning, for speeds, for the table of shapes.
_SHARES = (0.25, 0.5, 0.25)


class OpenEngine(Protocol):
    def __call__(
        self,
        bundle: Path,
        /,
        *,
        threads: int | None = None,
        tuned: Mapping[str, int] | None = None,
    ) -> Runner:
        """Open a bundle's folder. Export comes before serve, so its caller hands it this."""
        ...


@dataclass(frozen=True, slots=True)
class Built:
    """A candidate's bundle, complete but for the figures."""

    candidate: Candidate
    folder: Path


@dataclass(frozen=True, slots=True)
class Measured:
    """All candidates' figures, in the order they were built; `n` examples were scored."""

    built: Sequence[Built]
    reports: tuple[CandidateReport, ...]
    short_tokens: int
    metric: str
    torch_score: float | None
    n: int


@dataclass(frozen=True, slots=True)
class _Score:
    """A candidate's dev score, its agreement with torch, how far it lies behind, with interval."""

    value: float
    agreement: float
    behind: float
    interval: tuple[float, float]


def measure(
    built: Sequence[Built],
    sample: Sample,
    checkpoint: Path,
    open_engine: OpenEngine,
    *,
    budget: float,
    threads: int | None,
    cores: int,
    seconds: float,
    settings: Mapping[str, Any],
    step: Callable[[str], None],
) -> Measured:
    """Score every candidate and torch on the sample, then tune and time the candidates for about
    `seconds`: each at least once, whatever that takes."""
    from freehold.train.checkpoint import read_meta

    meta = read_meta(checkpoint)
    task = task_of(meta.task)
    torch_score: float | None = None
    scored: list[_Score | None] = [None] * len(built)
    if sample.scored:
        torch_score, scored = _scored(
            built, sample, checkpoint, meta, open_engine, threads, settings, step
        )
    tuned, runners = [], []
    for item in built:
        ways = item.candidate.tunings(threads or cores)
        if threads:
            ways = [way for way in ways if way["threads"] == threads]
        if len(ways) > 1:
            step(f"tuning {item.candidate.name}")

        def open_tuned(way: Mapping[str, int], folder: Path = item.folder) -> Runner:
            return open_engine(folder, threads=threads, tuned=way)

        some = sample.drawn(_TUNED, seed=0)
        tuned.append(best_tuning(ways, open_tuned, some, seconds=_SHARES[0] * seconds / len(built)))
        runners.append(open_tuned(tuned[-1]))
    step("timing " + ", ".join(item.candidate.name for item in built))
    timed = speeds(runners, sample, seconds=_SHARES[1] * seconds)
    tables = shapes(runners, sample, longest=meta.max_length, seconds=_SHARES[2] * seconds)
    reports = [
        _report(item, way, speed, cells, score, budget)
        for item, way, speed, cells, score in zip(built, tuned, timed, tables, scored, strict=True)
    ]
    n = len(sample.examples) if sample.scored else 0
    return Measured(built, tuple(reports), timed[0].short_tokens, task.score_name, torch_score, n)


def choose(
    measured: Measured,
    out: Path,
    *,
    budget: float,
    threads: int | None,
    left_out: Sequence[LeftOut] = (),
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
        tuned=best.tuned or {},
        short_tokens=measured.short_tokens,
        batch=BATCH,
        candidates=reports,
        left_out=tuple(left_out),
    )


def _scored(
    built: Sequence[Built],
    sample: Sample,
    checkpoint: Path,
    meta: Meta,
    open_engine: OpenEngine,
    threads: int | None,
    settings: Mapping[str, Any],
    step: Callable[[str], None],
) -> tuple[float, list[_Score | None]]:
    """torch's dev score, and each candidate's against it."""
    from freehold.train.predict import logits

    task = task_of(meta.task)
    step(f"scoring {len(sample.examples):,} dev examples with torch")
    expected = logits(checkpoint, sample.examples)
    base = task.measure(sample.examples, expected, meta.labels, settings)
    scores: list[_Score | None] = []
    for item in built:
        step(f"scoring them with {item.candidate.name}")
        found = answers(open_engine(item.folder, threads=threads), sample)
        scores.append(_score(task, sample, found, expected, base, meta.labels, settings))
    return base.all()[task.score_name], scores


def _score(
    task: Task,
    sample: Sample,
    found: Sequence[NDArray[np.float32]],
    expected: Sequence[NDArray[np.float32]],
    base: Figures,
    labels: Sequence[str],
    settings: Mapping[str, Any],
) -> _Score:
    """By the task's own figure (accuracy of texts, entity F1 of tagged words …), as `freehold
    evaluate` has it."""
    from freehold.evaluate.ladder.paired import behind

    mine = task.measure(sample.examples, found, labels, settings)
    difference, interval = behind(mine, base, task.score_name)
    agreement = task.agreement(found, expected, labels, settings)
    return _Score(mine.all()[task.score_name], agreement, difference, interval)


def _report(
    built: Built,
    tuned: Mapping[str, int],
    speed: Speed,
    cells: tuple[Cell, ...],
    score: _Score | None,
    budget: float,
) -> CandidateReport:
    return CandidateReport(
        engine=built.candidate.engine,
        precision=built.candidate.precision,
        size_mb=sum(path.stat().st_size for path in built.folder.iterdir()) / 1e6,
        p50_ms=speed.p50_ms,
        inputs_per_second=speed.inputs_per_second,
        agreement=score.agreement if score else None,
        dev_score=score.value if score else None,
        accepted=score is None or score.behind <= budget + _ROUNDING,
        behind=score.behind if score else None,
        behind_interval=score.interval if score else None,
        tuned=dict(tuned),
        shapes=cells,
    )
