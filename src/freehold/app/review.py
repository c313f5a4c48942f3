"""A look at labelled data: likely errors and what to label next, as sheets; and their way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.errors import ConflictError

if TYPE_CHECKING:
    from freehold.evaluate.review.suspects import Suspects
    from freehold.evaluate.review.wanted import Wanted
    from freehold.tasks.types import Dataset
    from freehold.train.encoders import EncoderFiles

__all__ = ["review", "suggest"]

SUSPECT_COLUMNS = ("rank", "row", "text", "given", "suggested", "label", "quality", "confidence")
WANTED_COLUMNS = ("rank", "row", "text", "suggested", "label", "confidence", "margin", "distance")


def review(
    data: Dataset,
    files: EncoderFiles,
    sheet: Path,
    *,
    max_length: int,
    folds: int,
    seed: int,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Suspects:
    """Find labels that are likely wrong and write them, ranked, as a sheet to correct: the column
    `label` holds the given one until a person changes it."""
    from freehold.evaluate.review.suspects import find_suspects

    _absent(sheet)
    found = find_suspects(
        data,
        files,
        max_length=max_length,
        folds=folds,
        seed=seed,
        threads=threads,
        on_progress=on_progress,
    )
    _write(sheet, SUSPECT_COLUMNS, [{**asdict(s), "label": s.given} for s in found.found])
    return found


def suggest(
    data: Dataset,
    pool: Dataset,
    files: EncoderFiles,
    sheet: Path,
    *,
    most: int,
    max_length: int,
    threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Sequence[Wanted]:
    """Rank the texts of `pool` that are most worth labelling and write them as a sheet whose column
    `label` is empty."""
    from freehold.evaluate.review.wanted import find_wanted

    _absent(sheet)
    found = find_wanted(
        data,
        pool,
        files,
        most=most,
        max_length=max_length,
        threads=threads,
        on_progress=on_progress,
    )
    _write(sheet, WANTED_COLUMNS, [{**asdict(wanted), "label": ""} for wanted in found])
    return found


def _absent(sheet: Path) -> None:
    """A sheet that a person has worked on is not written over."""
    if sheet.exists():
        raise ConflictError(
            f"{sheet} is already there, perhaps with corrections.",
            hint="Apply it, take it away, or name another with --out.",
        )


def _write(sheet: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    from freehold.data.sheet import write_sheet

    shown = [
        {name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}
        for row in rows
    ]
    write_sheet(sheet, columns, [{"rank": n, **row} for n, row in enumerate(shown, 1)])
