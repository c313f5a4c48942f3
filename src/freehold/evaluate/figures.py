"""An evaluation of a task whose answers are not one label of several: its figures, with intervals.

What is measured the task says (`Task.measure`). What was tuned on dev (thresholds, when to say
nothing) is on dev itself tuned on one half of the examples and measured on the other: measured on
what it has seen it would flatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import DataError
from freehold.evaluate.intervals import LEVEL, RESAMPLES, Interval
from freehold.evaluate.texts import excerpt
from freehold.tasks.base import Logits, Measured, Task
from freehold.tasks.registry import task_of
from freehold.tasks.types import AnyExample, Dataset

__all__ = ["FigureMistake", "Figures", "evaluate_figures"]

_FEW = 100  # examples below which an interval is wide and its ends uncertain


@dataclass(frozen=True, slots=True)
class FigureMistake:
    """A poor answer; `row` is the line of the file, `badness` how far off it is."""

    row: int
    text: str
    gold: str
    answered: str
    badness: float


@dataclass(frozen=True, eq=False)
class Figures:
    """Everything measured about a model on one file; `metrics[score_name]` is what it is chosen by.

    `table` has a row for each label, where the task has labels.
    """

    task: str
    data: str
    sha256: str
    n: int
    score_name: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    table: Sequence[Mapping[str, Any]]
    mistakes: tuple[FigureMistake, ...]
    notes: tuple[str, ...]
    seed: int

    def document(self) -> dict[str, Any]:
        """A dict for `json.dumps`; docs/evaluate.md lists its keys."""
        return {
            "task": self.task,
            "data": self.data,
            "sha256": self.sha256,
            "n": self.n,
            **self.metrics,
            "intervals": {name: list(limits) for name, limits in self.intervals.items()},
            "bootstrap": {"level": LEVEL, "resamples": RESAMPLES, "seed": self.seed},
            "per_label": {
                row["label"]: {key: value for key, value in row.items() if key != "label"}
                for row in self.table
            },
            "errors": [
                {
                    "row": one.row,
                    "text": one.text,
                    "gold": one.gold,
                    "answered": one.answered,
                    "badness": one.badness,
                }
                for one in self.mistakes
            ],
            "notes": list(self.notes),
        }


def evaluate_figures(
    dataset: Dataset,
    logits: Sequence[Logits],
    labels: Sequence[str],
    *,
    settings: Mapping[str, Any] | None,
    seed: int = 0,
) -> Figures:
    """Score a model's answers to `dataset`.

    `logits` holds one array an example, as `freehold.train.predict.logits` gives them. Without
    `settings` they are tuned here, on the other half of the examples each. Raises DataError (empty
    or unlabelled data, logits that are no numbers).
    """
    task = task_of(dataset.task)
    _require_usable(dataset, logits)
    few = f"{len(dataset)} examples are few: the intervals say more than the figures"
    notes = [few] if len(dataset) < _FEW else []
    if settings is None:
        logits, settings, note = _tuned_crosswise(task, dataset.examples, logits, labels, seed)
        notes += [note] if note else []
    measured = task.measure(dataset.examples, logits, labels, settings)
    return Figures(
        task=dataset.task,
        data=dataset.path.name,
        sha256=dataset.sha256,
        n=len(dataset),
        score_name=task.score_name,
        metrics=measured.all(),
        intervals=_intervals(measured, seed),
        table=measured.table,
        mistakes=tuple(_mistakes(dataset, measured)),
        notes=tuple(notes),
        seed=seed,
    )


def _require_usable(dataset: Dataset, logits: Sequence[Logits]) -> None:
    if not len(dataset):
        raise DataError(
            f"{dataset.path} holds no example to evaluate on.",
            hint="Name a file with labelled examples.",
        )
    if len(logits) != len(dataset):
        raise DataError(
            f"{dataset.path} holds {len(dataset)} examples and the model answered {len(logits)}.",
            hint="Predict the whole file again.",
        )
    for example, row in zip(dataset.examples, logits, strict=True):
        if example.target is None:
            raise DataError(
                f"{dataset.path}, line {example.row}: the example has nothing to compare with.",
                hint="Evaluate on a file in which every example is labelled.",
            )
        if np.isnan(row).any():
            raise DataError(
                f"{dataset.path}, line {example.row}: the model's answer is not a number.",
                hint="The checkpoint is damaged or its training diverged; train it again.",
            )


def _tuned_crosswise(
    task: Task,
    examples: Sequence[AnyExample],
    logits: Sequence[Logits],
    labels: Sequence[str],
    seed: int,
) -> tuple[Sequence[Logits], dict[str, Any], str]:
    """Logits to which no settings apply any more, each half with those tuned on the other; a note
    where that made a difference."""
    order = np.random.default_rng([seed, 2]).permutation(len(examples))
    halves = np.array_split(order, 2)
    if not task.tune(examples, logits, labels) or not len(halves[1]):
        return logits, {}, ""
    found: dict[int, Logits] = {}
    for own, other in (halves, halves[::-1]):
        tuned = task.tune(
            [examples[n] for n in other.tolist()], [logits[n] for n in other.tolist()], labels
        )
        found.update((n, task.neutral(logits[n], tuned)) for n in own.tolist())
    note = (
        "what is tuned on these texts (thresholds, when to say nothing) was tuned on one half of "
        "them and measured on the other"
    )
    return [found[n] for n in range(len(examples))], {}, note


def _intervals(measured: Measured, seed: int) -> dict[str, Interval]:
    """Bootstrap percentile intervals over the examples, as `freehold.evaluate.intervals` has them
    for labels."""
    random = np.random.default_rng([seed, 1])
    drawn: dict[str, list[float]] = {}
    for _ in range(RESAMPLES):
        chosen: NDArray[np.int64] = random.integers(0, measured.n, measured.n)
        for name, value in measured.metrics(chosen).items():
            drawn.setdefault(name, []).append(value)
    tail = 100 * (1 - LEVEL) / 2
    ends = {name: np.percentile(values, (tail, 100 - tail)) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _mistakes(dataset: Dataset, measured: Measured) -> list[FigureMistake]:
    rows = []
    for place, gold, answered, badness in measured.mistakes:
        example = dataset.examples[place]
        shown = excerpt(example.text)
        rows.append(
            FigureMistake(example.row, shown, excerpt(gold, 80), excerpt(answered, 80), badness)
        )
    return rows
