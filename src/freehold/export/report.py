"""What an export made and measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["CandidateReport", "ExportReport"]


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """One way to run the model, measured on this machine through the engine that serves it.

    `p50_ms`: half of single short texts took no longer, tokenising included. `inputs_per_second`:
    texts in batches of like length, tokenising included. `agreement`: share of decisions (texts, or
    words) that are torch's own. `dev_score` and `agreement` are None without dev texts. `accepted`
    says whether the dev score was within the budget.
    """

    engine: str
    precision: str
    size_mb: float
    p50_ms: float
    inputs_per_second: float
    agreement: float | None
    dev_score: float | None
    accepted: bool

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
    short_tokens: int  # the median length of the single texts behind p50_ms
    batch: int  # texts a batch behind inputs_per_second
    candidates: tuple[CandidateReport, ...]

    def document(self) -> dict[str, Any]:
        """Plain values under the fields' names."""
        return {**asdict(self), "bundle": str(self.bundle)}
