"""A search as one self-contained HTML page: the parallel-coordinates plot and the trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from freehold.evaluate.charts import esc
from freehold.evaluate.page import page, table
from freehold.evaluate.parallel import Axis, Line, parallel_coordinates
from freehold.train.search.space import Choice, Knob, Space
from freehold.train.search.studies import Trial, finished

__all__ = ["render", "shown"]

_TERMS = {
    "Complete, pruned, cut, failed": "A complete trial ran to its end. A pruned one was given up "
    "as hopeless beside the others, a cut one ended with the budget. A failed one has no score.",
    "Score": "Of the trial's best epoch on dev. The best of many is flattered by having been "
    "chosen: score the version on texts that nothing was chosen by.",
}


def render(
    trials: Sequence[Trial], space: Space, *, title: str, facts: Sequence[str], score_name: str
) -> str:
    """The whole page as text; `facts` are said below the title."""
    return page(
        title,
        kicker="Search",
        facts=facts,
        cards="",
        notes=(),
        sections=[
            ("tried", "What was tried", _plot(trials, space, score_name)),
            ("all", "Trials", _table(trials, space, score_name)),
        ],
        terms=_TERMS,
        footer="made by Freehold",
    )


def shown(value: Any) -> str:
    """A knob's value as people read it: four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plot(trials: Sequence[Trial], space: Space, score_name: str) -> str:
    ranked = finished(list(trials))
    if not ranked:
        return '<p class="lead">No trial ended an epoch.</p>'
    scores = [trial.score or 0.0 for trial in ranked]
    high, low = scores[0], scores[-1]
    axes = [Axis(name, _ticks(knob)) for name, knob in space.items()]
    axes.append(
        Axis(score_name, tuple((p, f"{low + p * (high - low):.4f}") for p in (0.0, 0.5, 1.0)))
    )
    lines = []
    for trial in reversed(ranked):  # the best one on top
        score = trial.score or 0.0
        depth = (score - low) / (high - low) if high > low else 1.0
        places = [_place(knob, trial.knobs[name]) for name, knob in space.items()]
        knobs = ", ".join(f"{name} {shown(value)}" for name, value in trial.knobs.items())
        kind = (
            "best" if trial is ranked[0] else "complete" if trial.state == "complete" else "pruned"
        )
        told = f"trial {trial.number} ({trial.state}): {score_name} {score:.4f}; {knobs}"
        lines.append(Line((*places, depth), told, depth, kind))
    key = (
        '<p class="lead">A line a trial, from its knobs to its score on dev: '
        '<span class="key best"></span>the best, <span class="key complete"></span>complete, '
        '<span class="key pruned"></span>given up or cut. A knob beyond its range, as the recipe '
        "that was begun with may have, is drawn at the range's end.</p>"
    )
    plot = parallel_coordinates(axes, lines, f"Parallel coordinates of {len(lines)} trials")
    return f'{key}<div class="panel">{plot}</div>'


def _ticks(knob: Knob) -> tuple[tuple[float, str], ...]:
    if isinstance(knob, Choice):
        return tuple((_place(knob, value), str(value)) for value in knob.choices)
    middle = (knob.low * knob.high) ** 0.5 if knob.log else (knob.low + knob.high) / 2
    values = (knob.low, knob.nearest(middle), knob.high)
    return tuple((knob.place(value), shown(value)) for value in dict.fromkeys(values))


def _place(knob: Knob, value: Any) -> float:
    if isinstance(knob, Choice):
        last = max(1, len(knob.choices) - 1)
        return knob.choices.index(value) / last if value in knob.choices else 0.0
    return knob.place(knob.nearest(value))


def _table(trials: Sequence[Trial], space: Space, score_name: str) -> str:
    names = ["Trial", score_name, "Epochs done", *space, "Seconds", "Cost", "State"]
    heads = [(name, "text" if name == "State" else "number") for name in names]
    rows = []
    for trial in trials:
        score = trial.score
        cells = [_cell(trial.number, str(trial.number))]
        cells.append(
            _cell(-1.0 if score is None else score, "" if score is None else f"{score:.4f}")
        )
        cells.append(_cell(len(trial.scores), str(len(trial.scores))))
        cells += [_cell(trial.knobs[name], shown(trial.knobs[name])) for name in space]
        cells.append(_cell(trial.seconds, f"{trial.seconds:.1f}"))
        cells.append(_cell(trial.cost, f"{trial.cost:.4f}"))
        why = f": {trial.facts['why']}" if "why" in trial.facts else ""
        cells.append(f'<td class="t fold">{esc(trial.state + why)}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return table("trials", heads, rows)


def _cell(value: Any, text: str) -> str:
    return f'<td data-v="{esc(value)}">{esc(text)}</td>'
