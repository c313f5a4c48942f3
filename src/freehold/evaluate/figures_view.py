"""An evaluation's figures for people: as tables for a terminal, and as a page."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from freehold.evaluate.charts import esc, f1_bar
from freehold.evaluate.figures import Figures
from freehold.evaluate.intervals import LEVEL, RESAMPLES
from freehold.evaluate.page import cards, number, page, table
from freehold.evaluate.texts import excerpt, printable

__all__ = ["render_page", "render_terminal"]

_NAMES = {
    "micro_f1": "Micro F1",
    "macro_f1": "Macro F1",
    "exact_match": "Exact match",
    "hamming_loss": "Hamming loss",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "rmse": "Root mean squared error",
    "mae": "Mean absolute error",
    "f1": "F1 of shared words",
    "f1_answerable": "F1 where there is an answer",
    "no_answer_accuracy": "Right where there is none",
}
_TERMS = {
    "Micro F1, macro F1": "Micro sums the counts of all labels; macro gives every label the same "
    "weight.",
    "Exact match": "The share of examples answered exactly: all labels and no other, or the very "
    "words of an answer but for case, articles and punctuation.",
    "Hamming loss": "The share of all (text, label) decisions that are wrong.",
    "Pearson's r, Spearman's rho": "How well the numbers rise together: in a line, or in their "
    "order alone. 1 is perfect, 0 is no relation.",
    "F1 of shared words": "The harmonic mean of the shares of words that an answer and the right "
    "one have in common; a Han character counts as a word.",
    "Intervals": "Bootstrap percentile intervals: the examples are drawn again with replacement "
    "and scored each time. They cover the luck of these examples, not another training run nor "
    "texts unlike these.",
}
_MISTAKES = 5
_ROWS = 20


def render_terminal(figures: Figures) -> RenderableType:
    """The figures with their intervals, the labels with the lowest F1, the worst answers."""
    grid = Table(box=None, pad_edge=False)
    for head in ("", "score", f"{LEVEL:.0%} interval"):
        grid.add_column(head, justify="left" if not head else "right")
    for name, value in figures.metrics.items():
        low, high = figures.intervals[name]
        style = "bold" if name == figures.score_name else ""
        grid.add_row(_name(name), f"{value:.3f}", f"{low:.3f}–{high:.3f}", style=style)
    heading = Text.assemble((printable(figures.data), "bold"), f"  {figures.n:,} examples")
    parts: list[RenderableType] = [heading, grid]
    if figures.table:
        parts.append(_labels(figures))
    if figures.mistakes:
        parts.append(_mistakes(figures))
    parts += [Text(f"Note: {printable(note)}", style="yellow") for note in figures.notes]
    return Group(*(line for part in parts for line in (part, Text(""))))


def _labels(figures: Figures) -> Table:
    rows = sorted(figures.table, key=lambda row: (row["f1"], -row["support"]))
    grid = Table(
        box=None, pad_edge=False, title="Labels, the lowest F1 first", title_justify="left"
    )
    for head in ("label", "precision", "recall", "F1", "support"):
        grid.add_column(head, justify="left" if head == "label" else "right")
    for row in rows[:_ROWS]:
        numbers = [f"{row[key]:.3f}" for key in ("precision", "recall", "f1")]
        grid.add_row(Text(excerpt(row["label"], 60)), *numbers, f"{row['support']:,}")
    if len(rows) > _ROWS:
        grid.caption = f"{len(rows) - _ROWS} more in the HTML report and with --json"
    return grid


def _mistakes(figures: Figures) -> Table:
    grid = Table(box=None, pad_edge=False, title="Worst answers", title_justify="left")
    for head in ("line", "text", "meant", "answered"):
        grid.add_column(head, justify="right" if head == "line" else "left")
    for one in figures.mistakes[:_MISTAKES]:
        shown = (Text(excerpt(text, 60)) for text in (one.text, one.gold, one.answered))
        grid.add_row(f"{one.row}", *shown)
    return grid


def render_page(figures: Figures, title: str) -> str:
    """The whole page as text (write it as UTF-8)."""
    shown = [
        (
            _name(name),
            f"{value:.3f}",
            "{:.0%} interval {:.3f}–{:.3f}".format(LEVEL, *figures.intervals[name]),
        )
        for name, value in sorted(
            figures.metrics.items(), key=lambda item: item[0] != figures.score_name
        )
    ]
    return page(
        title,
        kicker=f"Evaluation · {figures.task}",
        facts=[figures.data, f"{figures.n:,} examples"],
        cards=cards(shown),
        notes=figures.notes,
        sections=[
            ("labels", "Labels", _label_table(figures)),
            ("mistakes", "Worst answers", _mistake_table(figures)),
        ],
        terms=_TERMS,
        footer=f"{figures.data}, sha256 {figures.sha256} · intervals from {RESAMPLES:,} resamples, "
        f"seed {figures.seed} · made by Freehold",
    )


def _label_table(figures: Figures) -> str:
    if not figures.table:
        return ""
    heads = [("Label", "text"), ("F1", "number"), ("", "")]
    heads += [(name, "number") for name in ("Precision", "Recall", "Support", "Answered")]
    rows = [
        f'<tr><th class="t" scope="row" dir="auto">{esc(row["label"])}</th>{number(row["f1"])}'
        f"<td>{f1_bar(row['f1'], None)}</td>{number(row['precision'])}{number(row['recall'])}"
        f'<td data-v="{row["support"]}">{row["support"]:,}</td>'
        f'<td data-v="{row["predicted"]}">{row["predicted"]:,}</td></tr>'
        for row in figures.table
    ]
    return table("label-table", heads, rows, kind="panel scores")


def _mistake_table(figures: Figures) -> str:
    if not figures.mistakes:
        return ""
    heads = [("Line", "number"), ("Text", "text"), ("Meant", "text"), ("Answered", "text")]
    rows = [
        f'<tr><td data-v="{one.row}">{one.row}</td>'
        f'<td class="t text" dir="auto">{esc(one.text)}</td>'
        f'<td class="t" dir="auto">{esc(one.gold)}</td>'
        f'<td class="t" dir="auto">{esc(one.answered)}</td></tr>'
        for one in figures.mistakes
    ]
    return table("mistake-table", heads, rows)


def _name(metric: str) -> str:
    return _NAMES.get(metric, metric.replace("_", " "))
