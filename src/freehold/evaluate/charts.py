"""Charts of an evaluation as inline SVG, drawn by hand: colours come from the page's style sheet.

Every text that ends up in a chart goes through `esc`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np

from freehold.evaluate.calibrate import Reliability
from freehold.evaluate.intervals import Interval
from freehold.evaluate.spans import IntArray
from freehold.evaluate.texts import excerpt, printable

__all__ = ["HEAT_MAP_LABELS", "esc", "f1_bar", "heat_map", "pick_labels", "reliability_diagram"]

HEAT_MAP_LABELS = 100  # beyond this the cells are too small to read, and the worst are shown
_BAR_WIDTH = 150


def esc(text: object) -> str:
    """Text made fit to show and safe between tags and inside quoted attributes."""
    return html.escape(printable(str(text)), quote=True)


def f1_bar(value: float, interval: Interval | None) -> str:
    """A bar from 0 to 1 with the interval as a whisker; the page draws one a label."""
    width = _BAR_WIDTH
    parts = [
        f'<svg class="bar" viewBox="0 0 {width} 14" width="{width}" height="14" aria-hidden="true">'
        f'<rect class="track" x="0" y="3" width="{width}" height="8" rx="2"/>'
        f'<rect class="{_grade(value)}" x="0" y="3" width="{value * width:.1f}" height="8" rx="2"/>'
    ]
    if interval is not None:
        low, high = (min(max(end * width, 0.75), width - 0.75) for end in interval)
        parts.append(
            f'<path class="whisker" d="M{low:.1f} 7H{high:.1f}M{low:.1f} 3.5v7M{high:.1f} 3.5v7"/>'
        )
    return "".join(parts) + "</svg>"


def _grade(value: float) -> str:
    return "low" if value < 0.5 else "middling" if value < 0.8 else "high"


def pick_labels(confusion: IntArray, limit: int = HEAT_MAP_LABELS) -> list[int]:
    """Which labels a heat map shows, in order: all, or the `limit` with the most errors."""
    size = len(confusion)
    if size <= limit:
        return list(range(size))
    errors = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * np.diag(confusion)
    return sorted(int(i) for i in np.argsort(-errors, kind="stable")[:limit])


def heat_map(labels: Sequence[str], confusion: IntArray, shown: Sequence[int]) -> str:
    """Gold labels down, answers across; a cell's depth is its share of the gold label's row.

    Empty cells are not drawn. Each cell carries its row and column, for the page's cross-hairs, and
    its figures as a tooltip.
    """
    size = len(shown)
    cell = 44 if size <= 10 else 30 if size <= 20 else 20 if size <= 40 else 13
    font = 12 if cell >= 30 else 11 if cell >= 20 else 10
    names = [excerpt(labels[i], 34) for i in shown]
    margin = 14 + round(0.56 * font * max(map(_width, names)))
    side = size * cell
    width, height = margin + side + 2, margin + side + 2
    across = "".join(
        f'<text class="name" transform="translate({margin + (i + 0.5) * cell + font / 3:.1f} '
        f'{margin - 6}) rotate(-90)" font-size="{font}">{esc(name)}</text>'
        for i, name in enumerate(names)
    )
    down = "".join(
        f'<text class="name" x="{margin - 6}" y="{margin + (i + 0.5) * cell + font / 3:.1f}" '
        f'font-size="{font}" text-anchor="end">{esc(name)}</text>'
        for i, name in enumerate(names)
    )
    return (
        f'<svg class="heat" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="Confusion matrix of {size} labels" '
        f'data-origin="{margin}" data-cell="{cell}">'
        f'<rect class="plot" x="{margin}" y="{margin}" width="{side}" height="{side}"/>'
        f"{_grid_lines(margin, cell, size)}"
        f'<rect class="cross" x="0" y="-99" width="{margin + side}" height="{cell}"/>'
        f'<rect class="cross" x="-99" y="0" width="{cell}" height="{margin + side}"/>'
        f"{across}{down}{_cells(labels, confusion, shown, margin, cell)}</svg>"
    )


def _width(name: str) -> int:
    """Columns a name takes: Han and other wide characters count double."""
    return sum(2 if ord(c) > 0x2E7F else 1 for c in name)


def _grid_lines(margin: int, cell: int, size: int) -> str:
    every = 1 if size <= 20 else 5
    end = margin + size * cell
    lines = "".join(
        f"M{margin} {at}H{end}M{at} {margin}V{end}"
        for at in (margin + i * cell for i in range(0, size + 1, every))
    )
    return f'<path class="lines" d="{lines}"/>'


def _cells(
    labels: Sequence[str], confusion: IntArray, shown: Sequence[int], margin: int, cell: int
) -> str:
    support = confusion.sum(axis=1)
    parts = []
    for row, gold in enumerate(shown):
        for column, answer in enumerate(shown):
            count = int(confusion[gold, answer])
            if not count:
                continue
            share = count / int(support[gold])
            x, y = margin + column * cell, margin + row * cell
            right = gold == answer
            # rare errors must still be seen beside frequent ones: a square root lifts them
            depth = 0.12 + 0.88 * (share if right else math.sqrt(share))
            told = f"{labels[gold]} answered as {labels[answer]}: {count:,} of {support[gold]:,}"
            parts.append(
                f'<rect class="{"right" if right else "wrong"}" x="{x + 0.5}" y="{y + 0.5}" '
                f'width="{cell - 1}" height="{cell - 1}" fill-opacity="{depth:.2f}" '
                f'data-r="{row}" data-c="{column}"><title>{esc(told)} ({share:.1%})</title></rect>'
            )
            size = min(11.0, (cell - 2) / (0.6 * len(str(count))), 0.72 * cell)
            if size >= 6.5:
                parts.append(
                    f'<text class="count{" deep" if depth > 0.55 else ""}" font-size="{size:.1f}" '
                    f'x="{x + cell / 2}" y="{y + cell / 2 + 0.36 * size:.1f}">{count}</text>'
                )
    return "".join(parts)


def reliability_diagram(measured: Reliability, title: str) -> str:
    """Accuracy a bin of confidence beside the diagonal of perfect calibration, counts beneath.

    The gap between a bin's accuracy and its mean confidence has a colour of its own: over the bar
    where the model is too sure, the bar's own top where it is not sure enough.
    """
    left, top, side, below = 40, 12, 300, 56
    most = max(one.n for one in measured.bins)
    parts = []
    for one in measured.bins:
        if not one.n:
            continue
        x, width = left + one.low * side + 1, (one.high - one.low) * side - 2
        bottom = top + side
        accuracy, confidence = bottom - one.accuracy * side, bottom - one.confidence * side
        over, lower = one.confidence > one.accuracy, max(accuracy, confidence)
        bar = below * one.n / most
        told = (
            f"confidence {one.low:.2f} to {one.high:.2f}: {one.n:,} answers, "
            f"mean confidence {one.confidence:.3f}, share right {one.accuracy:.3f}"
        )
        parts.append(
            f"<g><title>{told}</title>"
            f'<rect class="accuracy" x="{x:.1f}" y="{lower:.1f}" width="{width:.1f}" '
            f'height="{bottom - lower:.1f}"/>'
            f'<rect class="gap {"over" if over else "under"}" x="{x + 0.5:.1f}" '
            f'y="{min(accuracy, confidence):.1f}" width="{width - 1:.1f}" '
            f'height="{abs(accuracy - confidence):.1f}"/>'
            f'<rect class="number" x="{x:.1f}" y="{bottom + 30 + below - bar:.1f}" '
            f'width="{width:.1f}" height="{max(bar, 0.8):.1f}"/></g>'
        )
    ticks = "".join(
        f'<text x="{left - 6}" y="{top + side * (1 - t) + 4:.1f}" text-anchor="end">{t:.1f}</text>'
        f'<text x="{left + side * t:.1f}" y="{top + side + 16}" text-anchor="middle">{t:.1f}</text>'
        for t in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    )
    lines = "".join(f"M{left} {top + side * i / 5:.1f}h{side}" for i in range(6))
    floor = top + side + 30 + below
    return (
        f'<svg class="reliability" viewBox="0 0 360 {floor + 22}" role="img" '
        f'aria-label="{esc(title)}"><path class="lines" d="{lines}M{left} {floor}h{side}"/>'
        f"{''.join(parts)}"
        f'<path class="diagonal" d="M{left} {top + side}L{left + side} {top}"/>{ticks}'
        f'<text x="{left - 6}" y="{floor - below + 9}" text-anchor="end">{_short(most)}</text>'
        f'<text x="{left - 6}" y="{floor + 3}" text-anchor="end">0</text>'
        f'<text x="{left + side / 2}" y="{floor + 18}" text-anchor="middle">'
        "share right by confidence; below, answers a bin</text></svg>"
    )


def _short(count: int) -> str:
    """At most five characters: 1,234 or 51k."""
    return f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"
