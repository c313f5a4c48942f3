"""An attack as tables for a terminal; texts are shown as plain `Text`, never as markup."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from freehold.evaluate.attack.report import COMBINED, AttackReport, Figure, KindReport
from freehold.evaluate.attack.search import Attempt
from freehold.evaluate.attack.spans import marked
from freehold.evaluate.texts import excerpt, printable

__all__ = ["render"]

_EXAMPLES = 5


def render(report: AttackReport) -> RenderableType:
    """Everything worth reading at once."""
    limits = report.limits
    heading = Text.assemble(
        (printable(report.data), "bold"),
        f"  {report.n:,} texts · clean accuracy {_value(report.clean)} {_limits(report.clean)}",
    )
    rules = Text(
        f"at most {limits.budget} questions a text, {limits.words:.0%} of its words (one always), "
        f"similarity {limits.similarity:g} where a synonym is used",
        style="dim",
    )
    parts: list[RenderableType] = [Group(heading, rules), _attacks(report), _behaviours(report)]
    combined = report.kinds[-1]
    if combined.broken:
        parts.append(_examples(report, combined))
    parts += [Text(f"Note: {printable(note)}", style="yellow") for note in report.notes]
    return Group(*(line for part in parts for line in (part, Text(""))))


def _attacks(report: AttackReport) -> Table:
    grid = _grid(
        "attack", "accuracy under it", "95% interval", "succeeds", "words changed", "questions",
        "refused",
    )  # fmt: skip
    for one in report.kinds:
        grid.add_row(
            Text(one.name),
            _value(one.accuracy),
            _limits(one.accuracy),
            _share(one.success),
            _share(one.words_changed),
            "–" if one.queries.value is None else f"{one.queries.value:.1f}",
            f"{sum(one.refused.values()):,}",
            style="bold" if one.name == COMBINED else "",
        )
    reasons = ", ".join(f"{why} {count:,}" for why, count in report.kinds[-1].refused.items())
    grid.caption = (
        "succeeds: of the texts answered rightly; words, questions: means over those it turned or "
        f"attacked; refused by validity ({COMBINED}): {reasons or 'nothing'}"
    )
    grid.caption_justify = "left"
    return grid


def _behaviours(report: AttackReport) -> Table:
    grid = _grid("change", "texts", "answer turns", "95% interval", "probability falls by")
    for one in report.behaviours:
        turned, fall = report.figures(one)
        name = f"{one.name} (apart: may be right)" if one.name == "negation" else one.name
        grid.add_row(name, f"{turned.n:,}", _share(turned), _limits(turned), _value(fall))
    grid.caption = (
        "names and numbers should turn no answer; a negation should where the task says so"
    )
    grid.caption_justify = "left"
    return grid


def _examples(report: AttackReport, kind: KindReport) -> Group:
    lines: list[RenderableType] = [Text("What turned the answer", style="bold")]
    for attempt in kind.broken[:_EXAMPLES]:
        lines += [_answers(report, attempt), Padding(_changed(attempt), (0, 0, 0, 4))]
    return Group(*lines)


def _answers(report: AttackReport, attempt: Attempt) -> Text:
    example = report.examples[attempt.number]
    return Text.assemble(
        f"line {example.row}: ",
        (excerpt(example.label or "", 60), "green"),
        " answered as ",
        (excerpt(report.labels[attempt.answer], 60), "red"),
        f", {attempt.sure_before:.1%} → {attempt.sure_after:.1%} sure of the right one; "
        + ", ".join(f"{printable(c.before)} → {printable(c.after)}" for c in attempt.changes),
    )


def _changed(attempt: Attempt) -> Text:
    text = Text(style="italic")
    for part, mark in marked(attempt):
        text.append(printable(part) if part.strip() else " ", "bold underline" if mark else "")
    return text


def _grid(first: str, *others: str) -> Table:
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    grid.add_column(first, overflow="fold")
    for name in others:
        grid.add_column(name, justify="right", overflow="fold")
    return grid


def _value(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.3f}"


def _share(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.1%}"


def _limits(figure: Figure) -> str:
    return "–" if figure.interval is None else f"{figure.interval[0]:.3f}–{figure.interval[1]:.3f}"
