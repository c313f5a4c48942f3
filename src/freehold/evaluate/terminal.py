"""An evaluation as tables and text bars for a terminal.

Labels and texts come from a user's file: they are shown as plain `Text`, never as rich markup, and
without anything a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as Grid
from rich.text import Text

from freehold.evaluate.calibrate import Bin, Calibration
from freehold.evaluate.intervals import Interval
from freehold.evaluate.report import Evaluation
from freehold.evaluate.scores import LabelScore, Table
from freehold.evaluate.texts import excerpt, printable

__all__ = ["render"]

_ALL_UP_TO = 25  # a table of this many labels is shown whole
_CONFUSIONS = 8
_MISTAKES = 5
_BAR = 30
_NAMES = {
    "entity_f1": "entity F1",
    "accuracy": "accuracy",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
}


def render(evaluation: Evaluation, *, rows: int = 20) -> RenderableType:
    """Everything worth reading at once; `rows` limits the table of labels when they are many."""
    parts: list[RenderableType] = [_heading(evaluation), _metrics(evaluation)]
    scores, intervals = evaluation.scores, evaluation.intervals
    if scores.entities is not None:
        title = "Entities (first word, last word and type must be right)"
        parts.append(_table(title, "type", scores.entities, intervals.per_type, rows))
    title, name = ("Words", "tag") if evaluation.tagging else ("Labels", "label")
    parts.append(_table(title, name, scores.per_label, intervals.per_label, rows))
    if evaluation.confusions:
        parts.append(_confusions(evaluation))
    parts.append(_calibration(evaluation.calibration))
    if evaluation.mistakes:
        parts.append(_mistakes(evaluation))
    parts += [Text(f"Note: {printable(note)}", style="yellow") for note in evaluation.notes]
    return Group(*(line for part in parts for line in (part, Text(""))))


def _heading(evaluation: Evaluation) -> Text:
    scores = evaluation.scores
    facts = [f"{evaluation.n:,} {'sentences' if evaluation.tagging else 'examples'}"]
    if evaluation.tagging:
        facts.append(f"{scores.n:,} words")
    facts.append(f"{len(scores.labels)} {'tags' if evaluation.tagging else 'labels'}")
    return Text.assemble((printable(evaluation.data), "bold"), f"  {' · '.join(facts)}")


def _metrics(evaluation: Evaluation) -> Grid:
    grid = _grid("", "score", f"{evaluation.intervals.level:.0%} interval")
    document = evaluation.scores
    for key, name in _NAMES.items():
        value = getattr(document, key)
        if value is not None:
            style = "bold" if key == ("entity_f1" if evaluation.tagging else "accuracy") else ""
            limits = _limits(evaluation.intervals.metrics[key])
            grid.add_row(Text(name), f"{value:.3f}", limits, style=style)
    return grid


def _table(
    title: str, name: str, table: Table, intervals: dict[str, Interval | None], limit: int
) -> Grid:
    """Precision, recall, F1 and support; the labels with the lowest F1 where there are many."""
    shown: Sequence[LabelScore] = table.rows
    caption = None
    if len(shown) > max(limit, _ALL_UP_TO):
        shown = sorted(shown, key=lambda row: (row.f1, -row.support))[:limit]
        caption = (
            f"the {limit} of {len(table.rows)} {name}s with the lowest F1; "
            "the HTML report and --json have them all"
        )
    grid = _grid(name, "precision", "recall", "F1", "95% interval", "support", title=title)
    grid.caption, grid.caption_justify = caption, "left"
    for row in shown:
        grid.add_row(
            Text(excerpt(row.label, 60), overflow="fold"),
            f"{row.precision:.3f}",
            f"{row.recall:.3f}",
            Text(f"{row.f1:.3f}", style=_grade(row.f1)),
            _limits(intervals[row.label]),
            f"{row.support:,}",
        )
    grid.add_section()
    for mean in ("micro", "macro", "weighted"):
        one = getattr(table, mean)
        figures = [f"{value:.3f}" for value in (one.precision, one.recall, one.f1)]
        grid.add_row(Text(f"{mean} average"), *figures, "", f"{one.support:,}", style="dim")
    return grid


def _confusions(evaluation: Evaluation) -> Grid:
    grid = _grid("meant", "answered", "times", "share of meant", title="Most often confused")
    for one in evaluation.confusions[:_CONFUSIONS]:
        grid.add_row(
            Text(excerpt(one.gold, 60), overflow="fold"),
            Text(excerpt(one.predicted, 60), overflow="fold"),
            f"{one.count:,}",
            f"{one.share:.1%}" if one.share >= 0.001 else "under 0.1%",
        )
    grid.columns[1].justify = "left"
    return grid


def _calibration(calibration: Calibration) -> Group:
    before, after = calibration.before, calibration.after
    lines = [
        Text("Calibration", style="bold"),
        Text(
            f"temperature {calibration.temperature:.3f}"
            f" · expected calibration error {before.ece:.4f} → {after.ece:.4f}"
            f" · Brier score {before.brier:.4f} → {after.brier:.4f}"
        ),
        Text(
            "confidence   share right (bar) beside mean confidence (┃), after scaling", style="dim"
        ),
    ]
    return Group(*lines, *(_bar(one) for one in after.bins if one.n))


def _bar(one: Bin) -> Text:
    """One bin: filled up to its accuracy, marked at its mean confidence."""
    cells = list(("█" * round(one.accuracy * _BAR)).ljust(_BAR, "·"))
    cells[min(_BAR - 1, round(one.confidence * _BAR))] = "┃"
    colour = "red" if one.confidence - one.accuracy > 0.1 else "cyan"
    return Text.assemble(
        f"{one.low:.2f}–{one.high:.2f}    ",
        *((cell, "bold" if cell == "┃" else "dim" if cell == "·" else colour) for cell in cells),
        f"  {one.accuracy:.2f}  n {one.n:,}",
    )


def _mistakes(evaluation: Evaluation) -> Group:
    heading = Text("Surest mistakes: mislabelled data, or what to collect next", style="bold")
    lines: list[RenderableType] = [heading]
    for one in evaluation.mistakes[:_MISTAKES]:
        text = Text(one.text, style="italic")
        if one.span is not None:
            text.stylize("bold underline", *one.span)
        answer = Text.assemble(
            f"line {one.row}: ",
            (excerpt(one.gold, 60), "green"),
            " answered as ",
            (excerpt(one.predicted, 60), "red"),
            f", {one.confidence:.1%} sure",
        )
        lines += [answer, Padding(text, (0, 0, 0, 4))]
    return Group(*lines)


def _grid(first: str, *others: str, title: str | None = None) -> Grid:
    grid = Grid(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        title=title,
        title_justify="left",
        title_style="bold",
    )
    grid.add_column(first, overflow="fold")
    for name in others:
        grid.add_column(name, justify="right", overflow="fold")
    return grid


def _limits(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"


def _grade(score: float) -> str:
    return "red" if score < 0.5 else "yellow" if score < 0.8 else "green"
