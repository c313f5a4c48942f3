"""An export as tables for a terminal: all candidates, the one that was kept, why others are out."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from freehold.export.report import CandidateReport, ExportReport

__all__ = ["render"]


def render(report: ExportReport) -> RenderableType:
    """The candidates' figures as measured on this machine; the kept one is marked."""
    parts: list[RenderableType] = [_figures(report)]
    if report.candidates[0].shapes:
        parts.append(_shapes(report))
    parts += [Text(f"Left out: {one.name}: {one.reason}.") for one in report.left_out]
    return Group(*parts, Text(_remark(report), style="dim"))


_METRICS = {"entity_f1": "entity F1"}


def _figures(report: ExportReport) -> Table:
    grid = Table(box=box.SIMPLE, title=None, pad_edge=False)
    grid.add_column("")
    grid.add_column("engine")
    for name in ("MB", f"p50 ms, {report.short_tokens} tokens", "inputs/s"):
        grid.add_column(name, justify="right")
    if report.n:
        grid.add_column(f"dev {_METRICS.get(report.metric, report.metric)}", justify="right")
        grid.add_column("points below torch", justify="right")
        grid.add_column("as torch", justify="right")
    for candidate in report.candidates:
        _add(grid, report, candidate, _row(candidate))
    return grid


def _shapes(report: ExportReport) -> Table:
    """Inputs a second by length; in each cell the batch sizes."""
    cells = report.candidates[0].shapes
    lengths = list(dict.fromkeys(cell.tokens for cell in cells))
    grid = Table(box=box.SIMPLE, title=None, pad_edge=False)
    grid.add_column("")
    grid.add_column("inputs/s")
    for length in lengths:
        batches = " / ".join(str(cell.batch) for cell in cells if cell.tokens == length)
        grid.add_column(f"{length} tokens x {batches}", justify="right")
    for candidate in report.candidates:
        paces = [
            " / ".join(
                f"{cell.inputs_per_second:,.0f}"
                for cell in candidate.shapes
                if cell.tokens == length
            )
            for length in lengths
        ]
        _add(grid, report, candidate, paces)
    return grid


def _add(grid: Table, report: ExportReport, candidate: CandidateReport, cells: list[str]) -> None:
    kept = (candidate.engine, candidate.precision) == (report.engine, report.precision)
    row = ["→" if kept else "", candidate.name, *cells]
    grid.add_row(*(Text(cell, style="bold" if kept else "") for cell in row))


def _row(candidate: CandidateReport) -> list[str]:
    cells = [
        f"{candidate.size_mb:.1f}",
        f"{candidate.p50_ms:.2f}",
        f"{candidate.inputs_per_second:,.0f}",
    ]
    if candidate.dev_score is not None and candidate.agreement is not None:
        mark = "" if candidate.accepted else " ✗"
        assert candidate.behind is not None and candidate.behind_interval is not None  # noqa: PT018
        low, high = candidate.behind_interval
        cells += [
            f"{candidate.dev_score:.4f}{mark}",
            f"{100 * candidate.behind:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})",
            f"{candidate.agreement:.2%}",
        ]
    return cells


def _remark(report: ExportReport) -> str:
    used = ", ".join(f"{name} {value}" for name, value in report.tuned.items())
    if not report.n or report.torch_score is None:
        return f"Without dev texts nothing shows what rounding costs. Runs with {used}."
    return (
        f"{report.n:,} dev examples; torch itself scores {report.torch_score:.4f}, and a candidate "
        f"may lie {100 * report.budget:.2f} points below it (✗: lies lower; in brackets the 95 % "
        f"interval). inputs/s in batches of {report.batch}, tokenising included. Runs with {used}."
    )
