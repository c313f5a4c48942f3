"""The first of a review's findings as a table for a terminal; the sheet has all."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from freehold.evaluate.review.suspects import Suspect
from freehold.evaluate.review.wanted import Wanted
from freehold.evaluate.texts import excerpt

__all__ = ["suspects_table", "wanted_table"]

_SHOWN = 15


def suspects_table(found: Sequence[Suspect]) -> RenderableType:
    """Row, the given and the suggested label with their probabilities, the text."""
    grid = _grid("row", "given", "", "suggested", "", "text")
    for one in found[:_SHOWN]:
        grid.add_row(
            str(one.row),
            Text(excerpt(one.given, 40)),
            f"{one.quality:.2f}",
            Text(excerpt(one.suggested, 40)),
            f"{one.confidence:.2f}",
            Text(excerpt(one.text, 120)),
        )
    return _with_rest(grid, len(found))


def wanted_table(found: Sequence[Wanted]) -> RenderableType:
    """Row, what the model would say and how far it is from saying another, the text."""
    grid = _grid("row", "suggested", "margin", "distance", "text")
    for one in found[:_SHOWN]:
        grid.add_row(
            str(one.row),
            Text(excerpt(one.suggested, 40)),
            f"{one.margin:.2f}",
            f"{one.distance:.2f}",
            Text(excerpt(one.text, 120)),
        )
    return _with_rest(grid, len(found))


def _grid(*names: str) -> Table:
    grid = Table(box=box.SIMPLE, pad_edge=False)
    for name in names:
        number = name in ("row", "", "margin", "distance")
        grid.add_column(
            name, justify="right" if number else "left", no_wrap=number, overflow="fold"
        )
    return grid


def _with_rest(grid: Table, count: int) -> RenderableType:
    if count <= _SHOWN:
        return grid
    return Group(grid, Text(f"and {count - _SHOWN:,} more in the sheet", "dim"))
