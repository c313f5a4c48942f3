"""An evaluation as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from freehold.evaluate.charts import (
    HEAT_MAP_LABELS,
    esc,
    f1_bar,
    heat_map,
    pick_labels,
    reliability_diagram,
)
from freehold.evaluate.intervals import Interval
from freehold.evaluate.page import cards, number, page, table
from freehold.evaluate.report import Evaluation, Mistake
from freehold.evaluate.scores import Table

__all__ = ["render"]

_BESIDE = 12  # up to this many labels the confusion matrix leaves room for a table beside it
_METHODS = {
    "cross-fitted": "after scaling, cross-fitted",
    "in-sample": "after scaling, measured where it was fitted",
    "given": "after scaling with the given temperature",
}
_TERMS = {
    "Precision, recall, F1": "Of the answers with a label, the share that is right; of the cases "
    "that should have it, the share that got it; and the harmonic mean of both.",
    "Micro, macro, weighted": "Micro sums the counts of all labels (and equals accuracy where each "
    "case has one label); macro gives every label the same weight; weighted gives each label the "
    "weight of its support.",
    "Support": "How many cases of the data have the label.",
    "Intervals": "Bootstrap percentile intervals: the examples are drawn again with replacement "
    "and scored each time. They cover the luck of these examples, not another training run nor "
    "texts unlike these.",
    "Expected calibration error": "The mean gap between confidence and the share of right answers, "
    "over 15 bins of confidence, weighted by their size. 0 is best.",
    "Brier score": "The mean squared distance between the probabilities and the truth, 0 to 2. "
    "0 is best.",
    "Temperature": "The logits are divided by it before they become probabilities. It changes how "
    "sure the model says it is, never which label comes first.",
}


def render(evaluation: Evaluation, title: str) -> str:
    """The whole page as text (write it as UTF-8); `title` heads it."""
    sections = [
        ("entities", "Entities", _entities(evaluation)),
        ("labels", "Words" if evaluation.tagging else "Labels", _labels(evaluation)),
        ("confusion", "Confusion", _confusion(evaluation)),
        ("calibration", "Calibration", _calibration(evaluation)),
        ("mistakes", "Surest mistakes", _mistakes(evaluation.mistakes, evaluation.tagging)),
    ]
    return page(
        title,
        kicker=f"Evaluation · {evaluation.task}",
        facts=_facts(evaluation),
        cards=_cards(evaluation),
        notes=evaluation.notes,
        sections=sections,
        terms=_TERMS,
        footer=f"{evaluation.data}, sha256 {evaluation.sha256} · intervals from "
        f"{evaluation.intervals.resamples:,} resamples, seed {evaluation.seed} · made by Freehold",
    )


def _facts(evaluation: Evaluation) -> list[str]:
    labels = len(evaluation.scores.labels)
    if evaluation.tagging:
        counts = [f"{evaluation.n:,} sentences", f"{evaluation.scores.n:,} words", f"{labels} tags"]
    else:
        counts = [f"{evaluation.n:,} examples", f"{labels} labels"]
    return [evaluation.data, *counts]


def _cards(evaluation: Evaluation) -> str:
    scores, calibration = evaluation.scores, evaluation.calibration
    names = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "weighted_f1": "Weighted F1"}
    if evaluation.tagging:
        names = {"entity_f1": "Entity F1"}
        names |= {"accuracy": "Accuracy, word by word", "macro_f1": "Macro F1, word by word"}
    shown = [
        (name, f"{getattr(scores, key):.3f}", _range(evaluation, key))
        for key, name in names.items()
    ]
    gap = f"was {calibration.before.ece:.3f} before temperature {calibration.temperature:.3f}"
    return cards([*shown, ("Calibration error", f"{calibration.after.ece:.3f}", gap)])


def _range(evaluation: Evaluation, key: str) -> str:
    low, high = evaluation.intervals.metrics[key]
    return f"{evaluation.intervals.level:.0%} interval {low:.3f}–{high:.3f}"


def _entities(evaluation: Evaluation) -> str:
    entities = evaluation.scores.entities
    if entities is None:
        return ""
    lead = (
        "Whole entities: the first word, the last word and the type must all be right. An I- tag "
        "that follows no entity of its type begins one, as in the CoNLL-2003 scorer."
    )
    shown = _score_table("entity-table", "Type", entities, evaluation.intervals.per_type, None)
    return f'<p class="lead">{lead}</p>{shown}'


def _labels(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    wrong = scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    taken = {
        label: f"{scores.labels[row.argmax()]} ({row.max():,})" if row.any() else ""
        for label, row in zip(scores.labels, wrong, strict=True)
    }
    lead = f"Bars show F1; the whisker is its {evaluation.intervals.level:.0%} interval."
    search = ""
    if len(scores.labels) > 20:
        search = (
            '<div class="tools"><input type="search" data-table="label-table" '
            'placeholder="Find a label" aria-label="Find a label"></div>'
        )
    name = "Tag" if evaluation.tagging else "Label"
    intervals = evaluation.intervals.per_label
    shown = _score_table("label-table", name, scores.per_label, intervals, taken)
    return f'<p class="lead">{lead}</p>{search}{shown}'


def _score_table(
    identity: str,
    name: str,
    scores: Table,
    intervals: dict[str, Interval | None],
    taken: dict[str, str] | None,
) -> str:
    heads = [(name, "text"), ("F1", "number"), ("", ""), ("Interval", "number")]
    heads += [(text, "number") for text in ("Precision", "Recall", "Support", "Answered")]
    heads += [] if taken is None else [("Most often taken for", "text")]
    rows = []
    for row in scores.rows:
        interval = intervals[row.label]
        low = -1.0 if interval is None else interval[0]
        limits = "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"
        rows.append(
            f'<tr><th class="t" scope="row" dir="auto">{esc(row.label)}</th>'
            f"{number(row.f1)}<td>{f1_bar(row.f1, interval)}</td>"
            f'<td data-v="{low:.6f}">{limits}</td>{number(row.precision)}{number(row.recall)}'
            f'<td data-v="{row.support}">{row.support:,}</td>'
            f'<td data-v="{row.predicted}">{row.predicted:,}</td>'
            + (
                ""
                if taken is None
                else f'<td class="t fold" dir="auto">{esc(taken[row.label])}</td>'
            )
            + "</tr>"
        )
    feet = []
    for mean in ("micro", "macro", "weighted"):
        one = getattr(scores, mean)
        feet.append(
            f'<tr><th class="t" scope="row">{mean} average</th>{number(one.f1)}<td></td><td></td>'
            f"{number(one.precision)}{number(one.recall)}<td>{one.support:,}</td><td></td>"
            + ("" if taken is None else "<td></td>")
            + "</tr>"
        )
    return table(identity, heads, rows, feet, kind="panel scores")


def _confusion(evaluation: Evaluation) -> str:
    scores = evaluation.scores
    shown = pick_labels(scores.confusion)
    cut = ""
    if len(shown) < len(scores.labels):
        cut = (
            f" Of {len(scores.labels)} labels the {HEAT_MAP_LABELS} with the most errors are shown."
        )
    lead = (
        "Each row is what was meant, each column what was answered; the deeper a cell, the larger "
        f"its share of the row.{cut}"
        '<br><span class="key right"></span>right<span class="key wrong"></span>wrong'
    )
    rows = [
        f'<tr><th class="t" scope="row" dir="auto">{esc(one.gold)}</th>'
        f'<td class="t fold" dir="auto">{esc(one.predicted)}</td>'
        f'<td data-v="{one.count}">{one.count:,}</td>'
        f'<td data-v="{one.share:.6f}">{_percent(one.share)}</td></tr>'
        for one in evaluation.confusions
    ]
    heads = [("Meant", "text"), ("Answered", "text"), ("Times", "number")]
    heads.append(("Share of meant", "number"))
    beside = "two" if len(shown) <= _BESIDE else "stack"
    pairs = table("confusion-table", heads, rows[: _BESIDE if beside == "two" else None])
    return (
        f'<p class="lead">{lead}</p><div class="{beside}"><div><h3>Confusion matrix</h3>'
        '<div class="panel"><p class="readout">Point at a cell to read it.</p>'
        f"{heat_map(scores.labels, scores.confusion, shown)}</div></div>"
        + (f"<div><h3>Most often confused</h3>{pairs}</div>" if rows else "")
        + "</div>"
    )


def _calibration(evaluation: Evaluation) -> str:
    calibration = evaluation.calibration
    before, after = calibration.before, calibration.after
    lead = (
        "Where a model says 0.8 it should be right in 80 of 100 cases: its bars should end on the "
        'dashed line.<br><span class="key accuracy"></span>share right'
        '<span class="key over"></span>surer than right'
        '<span class="key under"></span>less sure than right'
    )
    panels = [
        (before, "before scaling"),
        (after, f"temperature {calibration.temperature:.3f}, {_METHODS[calibration.method]}"),
    ]
    charts = "".join(
        f'<div class="panel pad"><h3>{name[0].upper()}{name[1:]}</h3>'
        f'<p class="lead">expected calibration error {one.ece:.4f} · '
        f"Brier score {one.brier:.4f}</p>"
        f"{reliability_diagram(one, f'Reliability diagram, {name}')}</div>"
        for one, name in panels
    )
    return f'<p class="lead">{lead}</p><div class="two">{charts}</div>'


def _mistakes(mistakes: Sequence[Mistake], tagging: bool) -> str:
    if not mistakes:
        return ""
    lead = (
        "Wrong answers the model was surest of, at most one a sentence. "
        if tagging
        else "Wrong answers the model was surest of. "
    )
    lead += "Some are mislabelled data to correct; the rest show what to collect next."
    rows = [
        f'<tr><td data-v="{one.row}">{one.row}</td>'
        f'<td class="t text" dir="auto">{_marked(one)}</td>'
        f'<td class="t" dir="auto">{esc(one.gold)}</td>'
        f'<td class="t" dir="auto">{esc(one.predicted)}</td>'
        f'<td data-v="{one.confidence:.6f}">{one.confidence:.3f}</td></tr>'
        for one in mistakes
    ]
    heads = [("Line", "number"), ("Text", "text"), ("Meant", "text"), ("Answered", "text")]
    heads.append(("Confidence", "number"))
    return f'<p class="lead">{lead}</p>{table("mistake-table", heads, rows)}'


def _marked(one: Mistake) -> str:
    """The text, with the word in question marked."""
    if one.span is None:
        return esc(one.text)
    begin, end = one.span
    # `printable` trims: the spaces beside the mark are put back by hand
    before, word, after = one.text[:begin], one.text[begin:end], one.text[end:]
    gap_before, gap_after = (" " if before else ""), (" " if after else "")
    return f"{esc(before)}{gap_before}<mark>{esc(word)}</mark>{gap_after}{esc(after)}"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"
