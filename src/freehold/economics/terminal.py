"""The margin report for a terminal: one table of versions, customers and plans, margins as bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from freehold.bill.words import month
from freehold.economics.figures import Line, Report, shown
from freehold.money import round_money

__all__ = ["render"]

_BAR = 8  # characters of a margin of 100 %
_EIGHTHS = " ▏▎▍▌▋▊▉"
_NAME = 24  # characters of a name for which columns are left out
_BETWEEN = 3  # characters between two columns


def render(report: Report) -> RenderableType:
    """The table, the result below the line, and what stands out."""
    first, last = report.periods[0], report.periods[-1]
    span = month(first, "en")
    if last != first:
        span += f" to {month(last, 'en')}"
    parts: list[RenderableType] = [Text(f"Margins, {span}, in {report.currency}", style="bold")]
    parts += [_Figures(report), _result(report)]
    if report.stands_out:
        parts.append(Text("\nWhat stands out", style="bold"))
        for sentence in report.stands_out:
            row = Table.grid(padding=(0, 1))
            row.add_row("•", Text(sentence))
            parts.append(row)
    return Group(*parts)


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    cell: Callable[[Line, str], Text]
    rank: int  # on a narrow terminal the highest goes first
    justify: str = "right"


_COLUMNS = (
    _Column("Inputs", lambda line, _: Text(f"{line.inputs:,}"), 0),
    _Column("Booked", lambda line, currency: _money(line.booked, currency), 0),
    _Column("Open", lambda line, currency: _money(line.unbilled, currency), 1),
    _Column("Cost", lambda line, currency: _amount(line.cost.total, currency), 0),
    _Column("Margin", lambda line, currency: _signed(line.gross_margin, currency), 0),
    _Column("", lambda line, _: _percent(line), 0),
    _Column("", lambda line, _: _bar(line), 4, "left"),
    _Column("Earns\nper 1,000", lambda line, currency: _amount(line.revenue_per_1000, currency), 3),
    _Column("Costs\nper 1,000", lambda line, currency: _amount(line.cost_per_1000, currency), 2),
)


class _Figures:
    """The table, with as many columns as there is room for."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._groups = (
            ("Version", report.versions),
            ("Customer", report.customers),
            ("Plan", report.plans),
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [line for _, group in self._groups for line in group]
        columns = [c for c in _COLUMNS if c.header != "Open" or self._report.total.unbilled]
        longest = max(cell_len(line.name) for line in (*lines, self._report.total))
        room = options.max_width - min(longest, _NAME) - 2 * _BETWEEN
        while self._width(columns, [*lines, self._report.total]) > room and any(
            column.rank for column in columns
        ):
            columns.remove(max(columns, key=lambda column: column.rank))
        yield self._table(columns)

    def _width(self, columns: Sequence[_Column], lines: Iterable[Line]) -> int:
        lines, currency = list(lines), self._report.currency
        return sum(
            _BETWEEN + max(cell_len(part) for part in (*column.header.splitlines(), *cells, ""))
            for column in columns
            for cells in [[column.cell(line, currency).plain for line in lines]]
        )

    def _table(self, columns: Sequence[_Column]) -> Table:
        currency = self._report.currency
        table = Table(box=SIMPLE_HEAD, show_footer=True, pad_edge=False, footer_style="bold")
        table.add_column("", "Total", no_wrap=True, min_width=8)
        for column in columns:
            table.add_column(
                column.header,
                column.cell(self._report.total, currency),
                justify="left" if column.justify == "left" else "right",
                no_wrap=True,
                vertical="bottom",
            )
        for number, (title, lines) in enumerate(self._groups):
            table.add_row(Text(title, style="bold"))
            for line in lines:
                cells = [column.cell(line, currency) for column in columns]
                table.add_row(Text(f"  {line.name}"), *cells)
            if number < len(self._groups) - 1:
                table.add_row()
        return table


def _result(report: Report) -> RenderableType:
    currency = report.currency
    months = len(report.periods)
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    if report.total.unbilled:
        grid.add_row("Earned and not invoiced (open)", _money(report.total.unbilled, currency))
    grid.add_row("Gross margin", _signed(report.total.gross_margin, currency))
    over = f"Fixed costs of {months} month{'s' if months > 1 else ''}"
    grid.add_row(over, _money(report.fixed, currency))
    if report.shadow:
        grid.add_row("Shadow runs", _amount(report.shadow, currency))
    result = _signed(report.operating_result, currency)
    result.stylize("bold")
    grid.add_row(Text("Operating result", style="bold"), result)
    return grid


def _money(amount: Decimal, currency: str) -> Text:
    return Text(f"{round_money(amount, currency).amount:,}")


def _amount(amount: Decimal | None, currency: str) -> Text:
    """Small amounts keep three digits, since a request costs far less than a cent."""
    return Text("–" if amount is None else shown(amount, currency))


def _signed(amount: Decimal, currency: str) -> Text:
    return Text(shown(amount, currency), style="red" if amount < 0 else "green")


def _percent(line: Line) -> Text:
    percent = line.margin_percent
    if percent is None:
        return Text("–")
    style = "red" if percent < 0 else "green"
    return Text("<-999 %" if percent < -999 else f"{percent:.1f} %", style=style)


def _bar(line: Line) -> Text:
    """Green up to 100 % of revenue; red, as long as the loss, below zero."""
    percent = line.margin_percent
    if percent is None:
        return Text("░" * _BAR, style="red") if line.gross_margin < 0 else Text("")
    eighths = int(min(abs(percent), Decimal(100)) * _BAR * 8 / 100)
    full, rest = divmod(eighths, 8)
    bar = "█" * full + (_EIGHTHS[rest] if rest else "")
    return Text(bar, style="red" if percent < 0 else "green")
