"""Look at labelled files before anything is learnt from them: what is in them, what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from freehold.data.duplicates import find_duplicates
from freehold.data.findings import CheckReport, Finding, SplitSummary, counted, worst_first
from freehold.data.labels import Labels, find_labels, labels_of
from freehold.data.lengths import Lengths, find_lengths, lengths_of, percentiles
from freehold.errors import DataError
from freehold.tasks.registry import task_of
from freehold.tasks.tokenise import most_tokens
from freehold.tasks.types import Dataset

__all__ = ["CheckReport", "Finding", "SplitSummary", "check"]


def check(datasets: Mapping[str, Dataset], *, max_length: int = 128) -> CheckReport:
    """Findings about each split and between them, worst first, each with all its rows.

    Keys are split names; "train" (or else the first) is what is learnt from. `max_length` is in
    tokens. Linear in the size of the files. Raises DataError if the files are of different tasks.
    """
    if not datasets:
        raise DataError("There is no file to check.", hint="Name at least one.")
    tasks = {data.task for data in datasets.values()}
    if len(tasks) > 1:
        kinds = ", ".join(f"{name}: {data.task}" for name, data in datasets.items())
        raise DataError(
            f"The files are of different tasks ({kinds}).", hint="Check files of one task together."
        )
    task = tasks.pop()
    lengths = {name: lengths_of(data) for name, data in datasets.items()}
    labels = {name: labels_of(data) for name, data in datasets.items()}
    findings: list[Finding] = []
    most = most_tokens(max_length) if task_of(task).windows else max_length
    for name, data in datasets.items():
        findings += find_lengths(name, lengths[name], max_length, most=most)
        findings += _slips(name, data)
    findings += find_duplicates(datasets)
    if any(role.cell in ("label", "labels", "tags") for role in task_of(task).roles):
        findings += find_labels(labels, tagged=task == "token-classification")
    summaries = {
        name: _summary(data, lengths[name], labels[name]) for name, data in datasets.items()
    }
    return CheckReport(task, summaries, worst_first(findings))


def _slips(split: str, data: Dataset) -> list[Finding]:
    if not data.repaired:
        return []
    return [
        Finding(
            "repaired_tags",
            "warning",
            split,
            counted(len(data.repaired), "sentence has", "sentences have")
            + " an I- tag that no B- tag of its type begins; it was read as B-",
            "Write B- on the first word of each entity.",
            len(data.repaired),
            data.repaired,
        )
    ]


def _summary(data: Dataset, lengths: Lengths, labels: Labels) -> SplitSummary:
    return SplitSummary(
        path=str(data.path),
        format=data.format,
        encoding=data.encoding,
        columns=dict(data.columns),
        inferred=data.inferred,
        notes=data.notes,
        sha256=data.sha256,
        n=len(data),
        counts=labels.counts,
        majority=labels.majority,
        majority_label=labels.majority_label,
        characters=percentiles(lengths.characters),
        tokens=percentiles(lengths.tokens),
    )
