"""A parallel-coordinates plot as inline SVG: an axis a quantity, a line a thing that was tried."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from freehold.evaluate.charts import esc
from freehold.evaluate.texts import excerpt

__all__ = ["Axis", "Line", "parallel_coordinates"]

_TOP, _HEIGHT, _LEFT, _STEP = 46, 280, 70, 150


@dataclass(frozen=True, slots=True)
class Axis:
    """`ticks` are (place on the axis from 0 at the bottom to 1, what stands there)."""

    name: str
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """`places` are on each axis, 0 to 1; `depth` from 0 (pale) to 1 is how good it was."""

    places: tuple[float, ...]
    told: str
    depth: float
    kind: str  # best, complete, pruned: the page's style sheet has them


def parallel_coordinates(axes: Sequence[Axis], lines: Sequence[Line], title: str) -> str:
    """The plot; of lines that cross, those at the end of the sequence are on top."""
    width = 2 * _LEFT + _STEP * (len(axes) - 1)
    height = _TOP + _HEIGHT + 24
    drawn = "".join(_line(line) for line in lines)
    named = "".join(_axis(axis, number) for number, axis in enumerate(axes))
    return (
        f'<svg class="parallel" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{esc(title)}">{drawn}{named}</svg>'
    )


def _x(number: int) -> int:
    return _LEFT + number * _STEP


def _y(place: float) -> float:
    return _TOP + _HEIGHT * (1 - min(max(place, 0.0), 1.0))


def _line(line: Line) -> str:
    """A smooth line through the places, level where it meets an axis."""
    points = [(_x(number), _y(place)) for number, place in enumerate(line.places)]
    path = f"M{points[0][0]} {points[0][1]:.1f}"
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        middle = (x + to_x) / 2
        path += f"C{middle:.1f} {y:.1f} {middle:.1f} {to_y:.1f} {to_x} {to_y:.1f}"
    opacity = 0.25 + 0.6 * line.depth
    return (
        f'<path class="{line.kind}" d="{path}" stroke-opacity="{opacity:.2f}">'
        f"<title>{esc(line.told)}</title></path>"
    )


def _axis(axis: Axis, number: int) -> str:
    x = _x(number)
    ticks = "".join(
        f'<path class="tick" d="M{x - 4} {_y(place):.1f}h8"/>'
        f'<text x="{x + 7}" y="{_y(place) + 4:.1f}">{esc(excerpt(text, 14))}</text>'
        for place, text in axis.ticks
    )
    return (
        f'<path class="axis" d="M{x} {_TOP}v{_HEIGHT}"/>'
        f'<text class="head" x="{x}" y="{_TOP - 18}" text-anchor="middle">{esc(axis.name)}</text>'
        f"{ticks}"
    )
