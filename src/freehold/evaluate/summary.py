"""The figures of dev answers with their intervals, in one shape for every task: for a model's card.

The whole evaluation (confusions, calibration, mistakes) is `freehold evaluate`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from freehold.evaluate.decisions import decide
from freehold.evaluate.figures import evaluate_figures
from freehold.evaluate.intervals import Interval, bootstrap
from freehold.evaluate.scores import scores_of
from freehold.tasks.base import Logits
from freehold.tasks.registry import task_of
from freehold.tasks.types import Dataset

__all__ = ["LabelFigures", "Summary", "summarise"]


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """Of one label, or of one type of entity; `support` is how often it is right. The interval is
    of F1, None where a label never occurs or the task has none for it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures are fractions, or what the task's own are; intervals are of 95 %.

    `chosen` is that of the score by which epochs were chosen, which knows of nothing tuned yet;
    `intervals` are those of `metrics`.
    """

    data: str  # the file's name
    n: int  # examples
    chosen: Interval
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    labels: Sequence[LabelFigures] = ()


def summarise(
    dataset: Dataset, logits: Sequence[Logits], labels: Sequence[str], *, seed: int = 0
) -> Summary:
    """Score a model's answers to the texts that it was chosen by. What is tuned on them is tuned
    crosswise, as `evaluate_figures` does. Raises DataError as `evaluate` does."""
    if not task_of(dataset.task).chooses:
        return _figures(dataset, logits, labels, seed)
    counts = decide(dataset, list(logits), labels).counts()
    scores, intervals = scores_of(counts), bootstrap(counts, seed=seed)
    metrics = {"accuracy": scores.accuracy, "macro_f1": scores.macro_f1}
    table, limits = scores.per_label, intervals.per_label
    if scores.entities is not None:
        metrics = {"entity_f1": scores.entities.micro.f1, "accuracy": scores.accuracy}
        table, limits = scores.entities, intervals.per_type
    rows = [
        LabelFigures(
            row.label, row.precision, row.recall, row.f1, row.support, limits.get(row.label)
        )
        for row in table.rows
    ]
    found = {name: intervals.metrics[name] for name in metrics}
    chosen = found[task_of(dataset.task).score_name]
    return Summary(dataset.path.name, len(dataset), chosen, metrics, found, rows)


def _figures(
    dataset: Dataset, logits: Sequence[Logits], labels: Sequence[str], seed: int
) -> Summary:
    plain = evaluate_figures(dataset, logits, labels, settings={}, seed=seed)
    tuned = task_of(dataset.task).tune(dataset.examples, logits, labels)
    found = evaluate_figures(dataset, logits, labels, settings=None, seed=seed) if tuned else plain
    rows = [
        LabelFigures(row["label"], row["precision"], row["recall"], row["f1"], row["support"])
        for row in found.table
    ]
    chosen = plain.intervals[plain.score_name]
    return Summary(found.data, found.n, chosen, found.metrics, found.intervals, rows)
