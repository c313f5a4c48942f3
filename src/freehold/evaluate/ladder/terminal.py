"""A ladder as a table and a plot for a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from freehold.evaluate.ladder.rungs import Ladder, Rung

__all__ = ["explained", "money", "render"]

_METRICS = {"entity_f1": "entity F1"}
_WIDTH, _HEIGHT = 56, 11  # of the plot, in characters


def render(ladder: Ladder) -> RenderableType:
    """The rungs, score against serving cost, and what is recommended."""
    parts: list[RenderableType] = []
    if ladder.rungs:
        parts += [_scores(ladder), _costs(ladder), _plot(ladder), Text(explained(ladder))]
    parts += [Text(f"{rung} was not climbed: {why}", "red") for rung, why in ladder.failed.items()]
    if ladder.skipped:
        parts.append(Text(f"Stopped before: {', '.join(ladder.skipped)}.", "yellow"))
    return Group(*parts)


def explained(ladder: Ladder) -> str:
    """The recommendation, and by what rule."""
    best, chosen = ladder.best, ladder.recommended
    figures = chosen.figures
    start = (
        f"Recommended: {figures.rung} ({figures.version}), "
        f"{money(figures.serve_cost)} {ladder.currency} per 1,000 inputs. "
    )
    if chosen is best:
        return start + (
            "It scores best, and the others that are cheaper to serve score lower by more than "
            "chance: the 95 % interval of the difference (paired bootstrap) lies above 0."
            if any(r.figures.serve_cost < figures.serve_cost for r in ladder.rungs)
            else "It scores best, and none is cheaper to serve."
        )
    low, high = chosen.behind_interval
    times = best.figures.serve_cost / figures.serve_cost
    return start + (
        f"The best score is that of {best.figures.rung}, {best.score:.4f}; the difference, "
        f"{chosen.behind:+.4f}, has the 95 % interval {low:+.4f} to {high:+.4f} (paired "
        f"bootstrap), which includes 0, and serving it costs {times:,.1f} times as much."
    )


def _scores(ladder: Ladder) -> Table:
    metric = _METRICS.get(ladder.metric, ladder.metric)
    return _grid(
        ladder,
        {
            "version": lambda rung: rung.figures.version,
            metric: lambda rung: f"{rung.score:.4f}",
            "95 % interval": lambda rung: "{:.3f}-{:.3f}".format(*rung.interval),
            "below the best (95 %)": lambda rung: "" if rung is ladder.best else _behind(rung),
        },
    )


def _costs(ladder: Ladder) -> Table:
    return _grid(
        ladder,
        {
            "training": lambda rung: f"{rung.figures.train_seconds:,.1f} s",
            f"in {ladder.currency}": lambda rung: money(rung.figures.train_cost),
            f"{ladder.currency}/1,000 inputs": lambda rung: money(rung.figures.serve_cost),
            "inputs/s": lambda rung: f"{rung.figures.inputs_per_second:,.0f}",
            "MB": lambda rung: f"{rung.figures.size_mb:.1f}",
        },
    )


def _grid(ladder: Ladder, cells: dict[str, Callable[[Rung], str]]) -> Table:
    """A line a rung, with its letter; the recommended one is marked."""
    grid = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1))
    for name in ("", "rung"):
        grid.add_column(name, no_wrap=True)
    for name in cells:
        grid.add_column(name, justify="right", no_wrap=True)
    for letter, rung in zip(_letters(ladder), ladder.rungs, strict=True):
        chosen = rung is ladder.recommended
        shown = ["→" + letter if chosen else " " + letter, rung.figures.rung]
        shown += [cell(rung) for cell in cells.values()]
        grid.add_row(*(Text(cell, style="bold" if chosen else "") for cell in shown))
    return grid


def _behind(rung: Rung) -> str:
    low, high = rung.behind_interval
    return f"{rung.behind:.3f} ({low:.3f} to {high:.3f})"


def _plot(ladder: Ladder) -> Text:
    """Score up, cost of serving across in powers of ten; rungs on the frontier in bold."""
    costs = [math.log10(float(rung.figures.serve_cost) or 1e-12) for rung in ladder.rungs]
    scores = [rung.score for rung in ladder.rungs]
    left, right = _bounds(costs, 0.1)
    low, high = _bounds(scores, 0.01)
    cells = [[Text(" ") for _ in range(_WIDTH)] for _ in range(_HEIGHT)]
    for letter, rung, cost in zip(_letters(ladder), ladder.rungs, costs, strict=True):
        across = round((cost - left) / (right - left) * (_WIDTH - 1))
        down = round((high - rung.score) / (high - low) * (_HEIGHT - 1))
        while cells[down][across].plain != " ":  # two at one place stand beside each other
            across = (across + 1) % _WIDTH
        cells[down][across] = Text(letter, "bold green" if rung.frontier else "dim")
    plot = Text()
    for number, line in enumerate(cells):
        at = high - (high - low) * number / (_HEIGHT - 1)
        plot += Text.assemble((f"{at:.3f} │", "dim"), *line, "\n")
    ends = f"{10**left:.2g}", f"{10**right:.2g}"
    plot += Text("      └" + "─" * _WIDTH + "\n", "dim")
    between = _WIDTH - len(ends[0]) - len(ends[1])
    plot += Text(f"       {ends[0]}{' ' * between}{ends[1]}\n", "dim")
    plot += Text(
        f"       {ladder.currency} per 1,000 inputs (logarithmic); bold: on the frontier\n", "dim"
    )
    return plot


def _bounds(values: list[float], least: float) -> tuple[float, float]:
    """The ends of an axis that all values stand well within."""
    low, high = min(values), max(values)
    room = max((high - low) * 0.06, least)
    return low - room, high + room


def _letters(ladder: Ladder) -> list[str]:
    return [chr(ord("A") + number) for number in range(len(ladder.rungs))]


def money(amount: Decimal) -> str:
    """Two decimals, or three significant digits: costs of a text are far below a cent."""
    if not amount:
        return "0"
    return f"{amount:.{max(2, 2 - amount.adjusted())}f}"
