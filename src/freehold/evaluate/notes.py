"""What a reader of the figures must know to read them rightly, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.evaluate.calibrate import BOUNDS, Calibration
from freehold.evaluate.decisions import Decisions
from freehold.evaluate.scores import Scores
from freehold.evaluate.texts import excerpt

__all__ = ["notes"]

_FEW = 100  # examples below which an interval is wide and its ends uncertain
_NAMED = 5


def notes(
    decisions: Decisions,
    scores: Scores,
    calibration: Calibration,
    unknown: Sequence[tuple[str, int]],
) -> tuple[str, ...]:
    """The remarks that apply; `unknown` are (label, count) of labels that only the data have."""
    unit = "word" if decisions.tagging else "example"
    candidates = (
        _unknown(unknown, unit),
        _absent(scores),
        _few(decisions.total, "sentence" if decisions.tagging else "example"),
        _flawless(decisions, scores),
        _no_entity(scores),
        _temperature(calibration),
    )
    return tuple(note for note in candidates if note)


def _unknown(unknown: Sequence[tuple[str, int]], unit: str) -> str | None:
    if not unknown:
        return None
    count = sum(number for _, number in unknown)
    return (
        f"{_many(count, unit)} {'has' if count == 1 else 'have'} a label the model does not know "
        f"({_some([label for label, _ in unknown])}); each counts as an error. Correct the labels, "
        "or train on data that hold them."
    )


def _absent(scores: Scores) -> str | None:
    absent = [row.label for row in scores.per_label.rows if not row.support and not row.predicted]
    if not absent:
        return None
    verb, it = ("occurs", "it") if len(absent) == 1 else ("occur", "them")
    return (
        f"{_many(len(absent), 'label')} of the model never {verb} here, neither in the data nor in "
        f"its answers ({_some(absent)}); the macro average counts {it} as 0, as scikit-learn does "
        "with fixed labels."
    )


def _few(total: int, unit: str) -> str | None:
    if total >= _FEW:
        return None
    return f"Only {_many(total, unit)}: the intervals are wide, and rough themselves."


def _flawless(decisions: Decisions, scores: Scores) -> str | None:
    if scores.accuracy < 1:
        return None
    # rule of three: 0 errors in n leaves rates up to about 3/n at 95 % (Hanley and
    # Lippman-Hand 1983, "If nothing goes wrong, is everything all right?")
    upper = min(1.0, 3 / decisions.total)
    return (
        "No error was seen, and the bootstrap cannot imagine one: the true share of examples with "
        f"an error may still be as high as {upper:.1%} (rule of three)."
    )


def _no_entity(scores: Scores) -> str | None:
    if scores.entities is None or scores.entities.rows:
        return None
    return "There is no entity in the data nor in the answers, so entity F1 is 0 by convention."


def _temperature(calibration: Calibration) -> str | None:
    at_bound = min(abs(calibration.temperature / bound - 1) for bound in BOUNDS) < 0.01
    if calibration.method == "given":
        return (
            f"The temperature, {calibration.temperature:.3f}, was given, not fitted here. If these "
            "are the examples it was once fitted on, the calibration after scaling looks better "
            "than it is."
        )
    if calibration.method == "in-sample":
        return (
            "The temperature was fitted and measured on the same few examples, so the calibration "
            "after scaling looks better than it is."
        )
    if at_bound:
        return (
            f"The temperature ended on a bound of the search ({calibration.temperature:.3g}): the "
            "confidences say little here. Evaluate on more data, or on data like the training data."
        )
    first, second = calibration.fold_temperatures
    return (
        "Calibration after scaling is cross-fitted: each half of the examples was measured with "
        f"the temperature of the other half ({first:.3f}, {second:.3f}). The temperature reported, "
        f"{calibration.temperature:.3f}, is fitted on all of them."
    )


def _many(count: int, unit: str) -> str:
    return f"{count:,} {unit}" + ("" if count == 1 else "s")


def _some(labels: Sequence[str]) -> str:
    """The first few labels, and how many more there are."""
    shown = ", ".join(excerpt(label, 40) for label in labels[:_NAMED])
    more = len(labels) - _NAMED
    return shown + (f" and {more} more" if more > 0 else "")
