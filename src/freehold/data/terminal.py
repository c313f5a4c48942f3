"""A check report as tables and text bars for a terminal.

Labels and column names come from a user's file: they are shown as plain `Text`, never as markup.
"""

from __future__ import annotations

from pathlib import PurePath

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from freehold.data.findings import CheckReport, Finding, SplitSummary, counted
from freehold.data.table import printable

__all__ = ["render"]

_SHOWN_ROWS = 5
_ALL_LABELS = 24  # more labels than this are shown by their most and least frequent
_MOST, _LEAST = 12, 6
_BAR = 20
_STYLES = {"error": "bold red", "warning": "yellow", "info": "dim"}


def render(report: CheckReport) -> RenderableType:
    """What was read, the label counts, the findings (five rows of each) and the verdict."""
    parts: list[RenderableType] = [_files(report)]
    for name, split in report.splits.items():
        parts += [Text(f"  {name}: {printable(note)}", style="dim") for note in split.notes]
    parts += [_lengths(report), _labels(report)]
    for finding in report.problems:
        parts.append(_finding(finding))
    parts += [Text(""), _verdict(report)]
    return Group(*parts)


def _files(report: CheckReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("split", "file", "format", "columns"):
        table.add_column(column)
    for column in ("rows", "labels"):
        table.add_column(column, justify="right")
    for name, split in report.splits.items():
        table.add_row(
            name,
            Text(printable(PurePath(split.path).name)),
            split.format if split.encoding == "binary" else f"{split.format}, {split.encoding}",
            Text(_columns(split)),
            f"{split.n:,}",
            f"{len(split.counts):,}",
        )
    return table


def _columns(split: SplitSummary) -> str:
    roles = ", ".join(
        role if role == name else f"{role} = {printable(name)}"
        for role, name in split.columns.items()
    )
    if split.format in ("conll", "txt"):
        return roles
    return f"{roles} ({'inferred' if split.inferred else 'given'})"


def _lengths(report: CheckReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("length")
    for column in ("median", "90 %", "99 %", "longest"):
        table.add_column(column, justify="right")
    for name, split in report.splits.items():
        units = (("characters", split.characters), ("tokens (estimated)", split.tokens))
        for unit, values in units:
            table.add_row(f"{name}, {unit}", *(f"{value:,}" for value in values.values()))
    return table


def _labels(report: CheckReport) -> Table:
    """Counts of each label in each split, with a bar for the first split."""
    tagged = report.task == "token-classification"
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("entity" if tagged else "label")
    for name in report.splits:
        table.add_column(name, justify="right")
    table.add_column("")
    counts = [split.counts for split in report.splits.values()]
    labels = list(dict.fromkeys(label for count in counts for label in count))
    largest = max(counts[0].values(), default=1)
    for label in _chosen(labels):
        if label is None:
            table.add_row(f"… {len(labels) - _MOST - _LEAST:,} more …", *[""] * (len(counts) + 1))
            continue
        numbers = [f"{count.get(label, 0):,}" for count in counts]
        bar = "█" * round(_BAR * counts[0].get(label, 0) / largest)
        table.add_row(Text(printable(label)), *numbers, Text(bar, style="cyan"))
    return table


def _chosen(labels: list[str]) -> list[str | None]:
    """All labels, or of many the most and the least frequent with None for the gap."""
    if len(labels) <= _ALL_LABELS:
        return list(labels)
    return [*labels[:_MOST], None, *labels[-_LEAST:]]


def _finding(finding: Finding) -> RenderableType:
    style = _STYLES[finding.severity]
    head = Text.assemble((f"{finding.severity:8}", style), (f"{finding.split}: ", "bold"))
    head.append(finding.message)
    lines = [head]
    if finding.rows:
        lines.append(Text(f"rows {_rows(finding)}", style="dim"))
    lines.append(Text(finding.hint, style="dim"))
    return Group(head, *(Padding(line, (0, 0, 0, 8)) for line in lines[1:]))


def _rows(finding: Finding) -> str:
    shown = [
        "+".join(map(str, row[:_SHOWN_ROWS])) + ("+…" if len(row) > _SHOWN_ROWS else "")
        if isinstance(row, tuple)
        else str(row)
        for row in finding.rows[:_SHOWN_ROWS]
    ]
    more = len(finding.rows) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more (all of them with --json)" if more else "")


def _verdict(report: CheckReport) -> Text:
    errors = counted(report.count("error"), "error", "errors")
    warnings = counted(report.count("warning"), "warning", "warnings")
    if report.ok:
        return Text(f"Ready to learn from: no errors, {warnings}.", style="green")
    return Text(f"{errors}, {warnings}: correct the errors before training.", style="bold red")
