"""One evaluation: everything measured about a model on one file, and its JSON document."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from freehold.evaluate.calibrate import Calibration, calibrate, probabilities
from freehold.evaluate.decisions import Decisions, Logits, decide
from freehold.evaluate.intervals import Interval, Intervals, bootstrap
from freehold.evaluate.notes import notes
from freehold.evaluate.scores import Scores, Table, scores_of
from freehold.evaluate.texts import around, excerpt
from freehold.tasks.types import Dataset, TaggedExample, Task

__all__ = ["Confusion", "Evaluation", "Mistake", "UnknownLabel", "evaluate"]

_CONFUSIONS = 30
_MISTAKES = 30
_ROWS_NAMED = 10


@dataclass(frozen=True, slots=True)
class Confusion:
    """A pair of labels taken for each other; `share` is `count` over the support of `gold`."""

    gold: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong answer. `row` is the line of the file; `span` where in `text` the tagged word stands,
    None where the whole text is meant."""

    row: int
    text: str
    gold: str
    predicted: str
    confidence: float
    span: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class UnknownLabel:
    """A label of the data that the model does not have; `rows` are the first lines with it."""

    label: str
    count: int
    rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Everything measured about a model on one file.

    `n` counts examples, `scores.n` decisions (words, for tagging). `confusions` are the most
    frequent pairs, `mistakes` the wrong answers the model was surest of (for tagging one a
    sentence), by the probabilities after calibration.
    """

    task: Task
    data: str
    sha256: str
    n: int
    scores: Scores
    intervals: Intervals
    calibration: Calibration
    confusions: tuple[Confusion, ...]
    mistakes: tuple[Mistake, ...]
    unknown: tuple[UnknownLabel, ...]
    notes: tuple[str, ...]
    seed: int

    @property
    def tagging(self) -> bool:
        return self.task == "token-classification"

    def document(self) -> dict[str, Any]:
        """A dict for `json.dumps`; docs/evaluate.md lists its keys. Figures are fractions, 0..1."""
        scores, intervals = self.scores, self.intervals
        entities = scores.entities
        return {
            "task": self.task,
            "data": self.data,
            "sha256": self.sha256,
            "n": self.n,
            "words": scores.n if self.tagging else None,
            "accuracy": scores.accuracy,
            "micro_f1": scores.micro_f1,
            "macro_f1": scores.macro_f1,
            "weighted_f1": scores.weighted_f1,
            "entity_f1": scores.entity_f1,
            "intervals": {name: list(limits) for name, limits in intervals.metrics.items()},
            "bootstrap": {
                "level": intervals.level,
                "resamples": intervals.resamples,
                "seed": self.seed,
            },
            "averages": _averages(scores.per_label),
            "per_label": _per_label(scores.per_label, intervals.per_label),
            "entities": None
            if entities is None
            else {
                "scheme": "conlleval",
                "averages": _averages(entities),
                "per_type": _per_label(entities, intervals.per_type),
            },
            "confusion": {"labels": list(scores.labels), "matrix": scores.confusion.tolist()},
            "confusions": [asdict(confusion) for confusion in self.confusions],
            "calibration": _calibration(self.calibration),
            "errors": [asdict(mistake) for mistake in self.mistakes],
            "unknown_labels": [
                {"label": u.label, "count": u.count, "rows": list(u.rows)} for u in self.unknown
            ],
            "notes": list(self.notes),
        }


def evaluate(
    dataset: Dataset,
    logits: Logits,
    labels: Sequence[str],
    *,
    temperature: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Score a model's answers to `dataset`.

    `logits` holds one array an example, in order: (C,) a text, (words, C) a sentence; `labels` are
    the model's C labels. Without `temperature` one is fitted here and measured by cross-fitting;
    with it (> 0) that one is measured. A label of the data that the model does not know counts as
    an error and is named in `unknown` and `notes`. The same input and seed give the same document.

    Raises DataError (empty or unlabelled data, logits that do not fit), ValueError (a temperature
    that is not above 0) and, when one is to be fitted without scipy, MissingDependencyError.
    """
    if temperature is not None and not 0 < temperature < math.inf:
        raise ValueError(f"the temperature must be a number above 0, not {temperature}")
    decisions = decide(dataset, logits, labels)
    counts = decisions.counts()
    scores = scores_of(counts)
    calibration = calibrate(
        decisions.logits,
        decisions.gold,
        decisions.examples,
        temperature=temperature,
        seed=seed,
    )
    unknown = _unknown(dataset, decisions, known=len(labels))
    return Evaluation(
        task=dataset.task,
        data=dataset.path.name,
        sha256=dataset.sha256,
        n=decisions.total,
        scores=scores,
        intervals=bootstrap(counts, seed=seed),
        calibration=calibration,
        confusions=_confusions(scores),
        mistakes=_mistakes(dataset, decisions, calibration.temperature),
        unknown=unknown,
        notes=notes(decisions, scores, calibration, [(u.label, u.count) for u in unknown]),
        seed=seed,
    )


def _confusions(scores: Scores) -> tuple[Confusion, ...]:
    """The most frequent errors, ties in the order of the labels."""
    wrong = scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    support = scores.confusion.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    pairs = [divmod(int(cell), len(scores.labels)) for cell in order]
    names = scores.labels
    return tuple(
        Confusion(names[g], names[p], int(wrong[g, p]), float(wrong[g, p] / support[g]))
        for g, p in pairs
        if wrong[g, p]
    )


def _mistakes(dataset: Dataset, decisions: Decisions, temperature: float) -> tuple[Mistake, ...]:
    """The wrong answers with the highest confidence, at most one an example."""
    confidence = probabilities(decisions.logits, temperature).max(axis=1)
    wrong = np.flatnonzero(decisions.gold != decisions.predicted)
    found: list[Mistake] = []
    seen: set[int] = set()
    for at in wrong[np.argsort(-confidence[wrong], kind="stable")]:
        position, word = int(decisions.examples[at]), int(decisions.words[at])
        if position in seen:
            continue
        seen.add(position)
        example = dataset.examples[position]
        text, span = excerpt(example.text), None
        if isinstance(example, TaggedExample):
            text, begin, end = around(example.tokens, word)
            span = (begin, end)
        found.append(
            Mistake(
                row=example.row,
                text=text,
                gold=decisions.names[decisions.gold[at]],
                predicted=decisions.names[decisions.predicted[at]],
                confidence=float(confidence[at]),
                span=span,
            )
        )
        if len(found) == _MISTAKES:
            break
    return tuple(found)


def _unknown(dataset: Dataset, decisions: Decisions, *, known: int) -> tuple[UnknownLabel, ...]:
    found = []
    for label in range(known, len(decisions.names)):
        where = decisions.examples[decisions.gold == label]
        rows = [dataset.examples[int(at)].row for at in np.unique(where)[:_ROWS_NAMED]]
        found.append(UnknownLabel(decisions.names[label], len(where), tuple(rows)))
    return tuple(found)


def _averages(table: Table) -> dict[str, Any]:
    return {name: asdict(getattr(table, name)) for name in ("micro", "macro", "weighted")}


def _per_label(table: Table, intervals: dict[str, Interval | None]) -> dict[str, Any]:
    """Label -> its figures, with the interval of its F1 (None where it never occurs)."""
    rows = {}
    for row in table.rows:
        figures = asdict(row)
        limits = intervals[figures.pop("label")]
        rows[row.label] = {**figures, "f1_interval": None if limits is None else list(limits)}
    return rows


def _calibration(calibration: Calibration) -> dict[str, Any]:
    return {
        "temperature": calibration.temperature,
        "method": calibration.method,
        "fold_temperatures": list(calibration.fold_temperatures),
        "ece_before": calibration.before.ece,
        "ece_after": calibration.after.ece,
        "brier_before": calibration.before.brier,
        "brier_after": calibration.after.brier,
        "bins_before": [asdict(one) for one in calibration.before.bins],
        "bins": [asdict(one) for one in calibration.after.bins],
    }
