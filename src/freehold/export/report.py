"""What an export made and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["CandidateReport", "Cell", "ExportReport", "LeftOut"]


@dataclass(frozen=True, slots=True)
class Cell:
    """Inputs a second in batches of `batch` texts of `tokens` tokens, tokenising left out."""

    tokens: int
    batch: int
    inputs_per_second: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A candidate that was not measured, and why, in a few words."""

    engine: str
    precision: str
    reason: str

    @property
    def name(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """One way to run the model, measured on this machine through the engine that serves it.

    `p50_ms`: half of single short texts took no longer, tokenising included. `inputs_per_second`:
    texts in batches of like length, tokenising included. `agreement`: share of decisions (texts, or
    words) that are torch's own. `behind`: torch's dev score less this one's (negative: it is
    better), `behind_interval` its 95 % interval by a paired bootstrap. Those and `dev_score` are
    None without dev texts. `accepted` says whether `behind` was within the budget. `tuned`: how it
    used the machine (threads, streams, step of lengths), found by measurement. `shapes`: its speed
    by length and batch size.
    """

    engine: str
    precision: str
    size_mb: float
    p50_ms: float
    inputs_per_second: float
    agreement: float | None
    dev_score: float | None
    accepted: bool
    behind: float | None = None
    behind_interval: tuple[float, float] | None = None
    tuned: Mapping[str, int] | None = None
    shapes: tuple[Cell, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The bundle, the figures of the candidate in it, and those of all that were tried.

    `size_mb` is of the whole bundle, 10^6 bytes each. `n` is the number of dev examples that were
    scored (at most `export`'s cap), 0 without any; `metric` names the score ("accuracy",
    "entity_f1") and `torch_score` is torch's own.
    """

    bundle: Path
    engine: str
    precision: str
    size_mb: float
    p50_ms: float
    inputs_per_second: float
    agreement: float | None
    dev_score: float | None
    n: int
    metric: str
    torch_score: float | None
    budget: float
    threads: int | None  # None: the cores that the engine may use
    tuned: Mapping[str, int]  # how the one that was kept uses the machine
    short_tokens: int  # the median length of the single texts behind p50_ms
    batch: int  # texts a batch behind inputs_per_second
    candidates: tuple[CandidateReport, ...]
    left_out: tuple[LeftOut, ...] = ()

    def document(self) -> dict[str, Any]:
        """Plain values under the fields' names."""
        return {**asdict(self), "bundle": str(self.bundle)}
