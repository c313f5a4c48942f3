"""An export as a table for a terminal: every candidate, and the one that was kept."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from freehold.export.report import CandidateReport, ExportReport

__all__ = ["render"]


def render(report: ExportReport) -> RenderableType:
    """The candidates' figures as measured on this machine; the kept one is marked."""
    grid = Table(box=box.SIMPLE, title=None, pad_edge=False)
    grid.add_column("")
    grid.add_column("engine")
    for name in ("MB", f"ms a text of {report.short_tokens} tokens (p50)", "inputs/s"):
        grid.add_column(name, justify="right")
    if report.n:
        grid.add_column(f"dev {_METRICS.get(report.metric, report.metric)}", justify="right")
        grid.add_column("as torch", justify="right")
    for candidate in report.candidates:
        grid.add_row(*_row(report, candidate))
    return Group(grid, Text(_remark(report), style="dim"))


_METRICS = {"entity_f1": "entity F1"}


def _row(report: ExportReport, candidate: CandidateReport) -> list[Text]:
    kept = (candidate.engine, candidate.precision) == (report.engine, report.precision)
    cells = [
        "→" if kept else "",
        candidate.name,
        f"{candidate.size_mb:.1f}",
        f"{candidate.p50_ms:.2f}",
        f"{candidate.inputs_per_second:,.0f}",
    ]
    if candidate.dev_score is not None and candidate.agreement is not None:
        mark = "" if candidate.accepted else " ✗"
        cells += [f"{candidate.dev_score:.4f}{mark}", f"{candidate.agreement:.2%}"]
    return [Text(cell, style="bold" if kept else "") for cell in cells]


def _remark(report: ExportReport) -> str:
    if not report.n or report.torch_score is None:
        return "Without dev texts nothing shows what rounding costs."
    return (
        f"{report.n:,} dev examples; torch itself scores {report.torch_score:.4f}, and a candidate "
        f"may lie {report.budget:.4f} below it (✗: lies lower). inputs/s in batches of "
        f"{report.batch}, tokenising included."
    )
