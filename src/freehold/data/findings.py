"""What a check says: one summary for each split, and findings with their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CheckReport",
    "Finding",
    "Rows",
    "Severity",
    "SplitSummary",
    "counted",
    "worst_first",
]

Severity = Literal["error", "warning", "info"]
Rows = Sequence[int] | Sequence[tuple[int, ...]]
_ORDER: dict[str, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of trouble in one split ("train") or between two ("train/dev").

    `count` is how many there are, in the unit the message names. `rows` holds every row concerned:
    numbers, or tuples of those that belong together (of duplicates all rows with that text; of
    leakage a row of each split). `labels` holds the labels concerned; of contradictions, those of
    each tuple of rows in the same place.
    """

    kind: str
    severity: Severity
    split: str
    message: str
    hint: str
    count: int
    rows: Rows = ()
    labels: tuple[tuple[str, ...], ...] = ()

    def document(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """How a file was read and what it holds. `counts` are texts of each label, or for
    token-classification entities of each type; `majority` is the share that answering the most
    frequent label (there: the tag O) gets right. Lengths have the keys p50, p90, p99, max, in
    characters and in tokens as estimated without a tokenizer."""

    path: str
    format: str
    encoding: str
    columns: dict[str, str]
    inferred: bool
    notes: tuple[str, ...]
    sha256: str
    n: int
    counts: dict[str, int]
    majority: float
    majority_label: str
    characters: dict[str, int]
    tokens: dict[str, int]

    def document(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of `check`: summaries by split, findings with the worst first."""

    task: str
    splits: Mapping[str, SplitSummary]
    problems: Sequence[Finding]

    def count(self, severity: Severity) -> int:
        return sum(problem.severity == severity for problem in self.problems)

    @property
    def ok(self) -> bool:
        """Whether there is no finding of severity "error"."""
        return self.count("error") == 0

    def document(self) -> dict[str, Any]:
        """Plain values for JSON: task, ok, errors, warnings, splits, problems."""
        return {
            "task": self.task,
            "ok": self.ok,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "splits": {name: split.document() for name, split in self.splits.items()},
            "problems": [problem.document() for problem in self.problems],
        }


def counted(count: int, one: str, many: str) -> str:
    """ "1 text is", "1,200 texts are"."""
    return f"{count:,} {one if count == 1 else many}"


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: _ORDER[finding.severity]))
