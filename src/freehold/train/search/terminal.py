"""A search as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from freehold.train.search.space import Space
from freehold.train.search.studies import Trial, finished

__all__ = ["render"]


def render(trials: Sequence[Trial], space: Space, score_name: str) -> Table:
    """Trials with a score, best first, then those that failed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", score_name, "epochs done", *space, "seconds", "state"):
        table.add_column(name, justify="left" if name == "state" else "right", overflow="fold")
    ranked = finished(list(trials))
    rest = [trial for trial in trials if trial not in ranked]
    for trial in (*ranked, *rest):
        table.add_row(
            str(trial.number),
            "" if trial.score is None else f"{trial.score:.4f}",
            str(len(trial.scores)),
            *(_shown(trial.knobs[name]) for name in space),
            f"{trial.seconds:.0f}",
            trial.state + (f": {trial.facts['why']}" if "why" in trial.facts else ""),
            style="bold" if ranked and trial is ranked[0] else "",
        )
    return table


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
