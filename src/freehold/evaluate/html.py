"""An evaluation as one self-contained HTML page: no request leaves it, no text of the data runs.

Style, script and charts are inline. The page's content security policy names the one script by its
hash, so that even markup that slipped through `esc` could not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib import resources

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
    folder = resources.files("freehold.evaluate")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    script = folder.joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    sections = [
        ("entities", "Entities", _entities(evaluation)),
        ("labels", "Words" if evaluation.tagging else "Labels", _labels(evaluation)),
        ("confusion", "Confusion", _confusion(evaluation)),
        ("calibration", "Calibration", _calibration(evaluation)),
        ("mistakes", "Surest mistakes", _mistakes(evaluation.mistakes, evaluation.tagging)),
    ]
    shown = [(key, name, body) for key, name, body in sections if body]
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name, _ in shown)
    body = "".join(
        f'<section id="{key}"><h2>{name}</h2>{content}</section>' for key, name, content in shown
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{_header(evaluation, title)}<nav>{links}</nav>{_cards(evaluation)}"
        f"{_notes(evaluation.notes)}{body}{_terms()}{_footer(evaluation)}</main>\n"
        f"<script>{script}</script></body></html>\n"
    )


def _header(evaluation: Evaluation, title: str) -> str:
    scores = evaluation.scores
    facts = [esc(evaluation.data)]
    if evaluation.tagging:
        facts += [
            f"{evaluation.n:,} sentences",
            f"{scores.n:,} words",
            f"{len(scores.labels)} tags",
        ]
    else:
        facts += [f"{evaluation.n:,} examples", f"{len(scores.labels)} labels"]
    return (
        f'<header><p class="kicker">Evaluation · {evaluation.task}</p>'
        f"<h1>{esc(title)}</h1><p>{' · '.join(facts)}</p></header>"
    )


def _cards(evaluation: Evaluation) -> str:
    scores, calibration = evaluation.scores, evaluation.calibration
    names = {"accuracy": "Accuracy", "macro_f1": "Macro F1", "weighted_f1": "Weighted F1"}
    if evaluation.tagging:
        names = {"entity_f1": "Entity F1"}
        names |= {"accuracy": "Accuracy, word by word", "macro_f1": "Macro F1, word by word"}
    cards = [
        _card(name, f"{getattr(scores, key):.3f}", _range(evaluation, key))
        for key, name in names.items()
    ]
    gap = f"was {calibration.before.ece:.3f} before temperature {calibration.temperature:.3f}"
    cards.append(_card("Calibration error", f"{calibration.after.ece:.3f}", gap))
    cards[0] = cards[0].replace('class="card"', 'class="card first"')
    return f'<dl class="cards">{"".join(cards)}</dl>'


def _card(name: str, value: str, below: str) -> str:
    return (
        f'<div class="card"><dt>{name}</dt><dd class="value">{value}</dd>'
        f'<dd class="range">{below}</dd></div>'
    )


def _range(evaluation: Evaluation, key: str) -> str:
    low, high = evaluation.intervals.metrics[key]
    return f"{evaluation.intervals.level:.0%} interval {low:.3f}–{high:.3f}"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<div class="notes"><ul>{"".join(f"<li>{esc(note)}</li>" for note in notes)}</ul></div>'


def _entities(evaluation: Evaluation) -> str:
    entities = evaluation.scores.entities
    if entities is None:
        return ""
    lead = (
        "Whole entities: the first word, the last word and the type must all be right. An I- tag "
        "that follows no entity of its type begins one, as in the CoNLL-2003 scorer."
    )
    table = _score_table("entity-table", "Type", entities, evaluation.intervals.per_type, None)
    return f'<p class="lead">{lead}</p>{table}'


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
    table = _score_table("label-table", name, scores.per_label, intervals, taken)
    return f'<p class="lead">{lead}</p>{search}{table}'


def _score_table(
    identity: str,
    name: str,
    table: Table,
    intervals: dict[str, Interval | None],
    taken: dict[str, str] | None,
) -> str:
    heads = [(name, "text"), ("F1", "number"), ("", ""), ("Interval", "number")]
    heads += [(text, "number") for text in ("Precision", "Recall", "Support", "Answered")]
    heads += [] if taken is None else [("Most often taken for", "text")]
    rows = []
    for row in table.rows:
        interval = intervals[row.label]
        low = -1.0 if interval is None else interval[0]
        limits = "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"
        rows.append(
            f'<tr><th class="t" scope="row" dir="auto">{esc(row.label)}</th>'
            f"{_number(row.f1)}<td>{f1_bar(row.f1, interval)}</td>"
            f'<td data-v="{low:.6f}">{limits}</td>{_number(row.precision)}{_number(row.recall)}'
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
        one = getattr(table, mean)
        feet.append(
            f'<tr><th class="t" scope="row">{mean} average</th>{_number(one.f1)}<td></td><td></td>'
            f"{_number(one.precision)}{_number(one.recall)}<td>{one.support:,}</td><td></td>"
            + ("" if taken is None else "<td></td>")
            + "</tr>"
        )
    return _table(identity, heads, rows, feet, kind="panel scores")


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
    pairs = _table("confusion-table", heads, rows[: _BESIDE if beside == "two" else None])
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
    return f'<p class="lead">{lead}</p>{_table("mistake-table", heads, rows)}'


def _marked(one: Mistake) -> str:
    """The text, with the word in question marked."""
    if one.span is None:
        return esc(one.text)
    begin, end = one.span
    # `printable` trims: the spaces beside the mark are put back by hand
    before, word, after = one.text[:begin], one.text[begin:end], one.text[end:]
    gap_before, gap_after = (" " if before else ""), (" " if after else "")
    return f"{esc(before)}{gap_before}<mark>{esc(word)}</mark>{gap_after}{esc(after)}"


def _table(
    identity: str,
    heads: Sequence[tuple[str, str]],
    rows: Iterable[str],
    feet: Iterable[str] = (),
    kind: str = "panel",
) -> str:
    """A sortable table; `heads` are (text, "text" or "number"), an empty text is not sortable."""
    cells = "".join(
        f'<th scope="col" data-kind="{sort}"{_left(sort)}>'
        f'<button type="button">{text}</button></th>'
        if text
        else "<td></td>"
        for text, sort in heads
    )
    foot = "".join(feet)
    return (
        f'<div class="{kind}"><table id="{identity}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>{f'<tfoot>{foot}</tfoot>' if foot else ''}</table></div>"
    )


def _left(kind: str) -> str:
    return ' class="t"' if kind == "text" else ""


def _number(value: float) -> str:
    return f'<td data-v="{value:.6f}">{value:.3f}</td>'


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _terms() -> str:
    terms = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in _TERMS.items())
    summary = "<summary>What the figures mean</summary>"
    return f"<section><details>{summary}<dl>{terms}</dl></details></section>"


def _footer(evaluation: Evaluation) -> str:
    return (
        f"<footer>{esc(evaluation.data)}, sha256 {esc(evaluation.sha256)} · intervals from "
        f"{evaluation.intervals.resamples:,} resamples, seed {evaluation.seed} · "
        "made by Freehold</footer>"
    )
