"""An attack as one self-contained HTML page, in the style of the evaluation's: nothing is loaded,
and the page's content security policy lets no script run but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources

from freehold.evaluate.attack.invariance import Behaviour
from freehold.evaluate.attack.report import COMBINED, SHOWN, AttackReport, Figure, KindReport
from freehold.evaluate.attack.search import Attempt
from freehold.evaluate.attack.spans import marked
from freehold.evaluate.charts import esc, f1_bar
from freehold.evaluate.intervals import LEVEL, RESAMPLES

__all__ = ["render"]

_TERMS = {
    "Accuracy under attack": "The share of all texts that the model answers rightly as they are "
    "and under every change that the attack tried.",
    "Succeeds": "Of the texts that the model answers rightly as they are, the share that the "
    "attack turned.",
    "Typo, swap": "One slip in a word: a letter struck beside its key, a letter too many, a letter "
    "left out; or two letters exchanged. The first and the last letter stay.",
    "Homoglyph": "One letter replaced by one of another alphabet that looks the same.",
    "Synonym": "A word replaced by one of the lexicon that can stand in its place.",
    "Questions": "How often the model was asked about a text, the weighing of its words included.",
    "Refused": "What validity forbids: a text whose synonyms take it too far from the original "
    "(similarity), more words than are allowed (words changed; counted once a text), and words "
    "that turn the meaning round (negation), which are never touched.",
    "Names, numbers": "Every name, or every number, of a text replaced by others: the answer "
    "should stay.",
    "Negation": "A negation put in or taken out. Where the label depends on it (is this praise?) "
    "the answer should turn, where it does not (which product is meant?) it should stay; so this "
    "counts neither as a success nor as a failure.",
}


def render(report: AttackReport, title: str) -> str:
    """The whole page as text (write it as UTF-8); `title` heads it."""
    folder = resources.files("freehold.evaluate")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    script = folder.joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    sections = [("attacks", "Attacks", _attacks(report))]
    sections += [("behaviour", "Names, numbers, negation", _behaviours(report))]
    sections += [
        (f"broken-{one.name}", f"What turned the answer: {one.name}", _examples(report, one))
        for one in reversed(report.kinds)
        if one.broken
    ]
    sections += [
        (f"turned-{one.name}", f"Turned by other {one.name}", _turns(report, one))
        for one in report.behaviours
        if one.examples
    ]
    links = "".join(f'<a href="#{key}">{esc(name)}</a>' for key, name, _ in sections)
    body = "".join(
        f'<section id="{key}"><h2>{esc(name)}</h2>{content}</section>'
        for key, name, content in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{_header(report, title)}<nav>{links}</nav>{_cards(report)}"
        f"{_notes(report)}{body}{_terms()}{_footer(report)}</main>\n"
        f"<script>{script}</script></body></html>\n"
    )


def _header(report: AttackReport, title: str) -> str:
    limits = report.limits
    facts = [
        esc(report.data),
        f"{report.n:,} texts",
        f"at most {limits.budget} questions a text",
        f"{limits.words:.0%} of its words",
        f"similarity {limits.similarity:g}",
    ]
    return (
        '<header><p class="kicker">Attack · text-classification</p>'
        f"<h1>{esc(title)}</h1><p>{' · '.join(facts)}</p></header>"
    )


def _cards(report: AttackReport) -> str:
    combined = report.kinds[-1]
    cards = [
        _card("Accuracy under attack", _value(combined.accuracy), _range(combined.accuracy), True),
        _card("Clean accuracy", _value(report.clean), _range(report.clean)),
        _card("Attack succeeds", _value(combined.success), _range(combined.success)),
        _card("Share of words changed", _value(combined.words_changed), "where it succeeds"),
    ]
    return f'<dl class="cards">{"".join(cards)}</dl>'


def _card(name: str, value: str, below: str, first: bool = False) -> str:
    kind = "card first" if first else "card"
    return (
        f'<div class="{kind}"><dt>{name}</dt><dd class="value">{value}</dd>'
        f'<dd class="range">{below}</dd></div>'
    )


def _notes(report: AttackReport) -> str:
    notes = "".join(f"<li>{esc(note)}</li>" for note in report.notes)
    return f'<div class="notes"><ul>{notes}</ul></div>' if notes else ""


def _attacks(report: AttackReport) -> str:
    heads = [("Attack", "text"), ("Accuracy", "number"), ("", ""), ("Interval", "number")]
    heads += [(name, "number") for name in ("Succeeds", "Words changed", "Questions", "Refused")]
    rows = [
        f'<tr><th class="t" scope="row">{esc(one.name)}</th>{_number(one.accuracy)}'
        f"<td>{f1_bar(one.accuracy.value or 0.0, one.accuracy.interval)}</td>"
        f"<td>{_limits(one.accuracy)}</td>{_number(one.success)}{_number(one.words_changed)}"
        f"{_number(one.queries, '.1f')}"
        f'<td data-v="{sum(one.refused.values())}" title="{esc(_reasons(one))}">'
        f"{sum(one.refused.values()):,}</td></tr>"
        for one in report.kinds
    ]
    lead = (
        f"Each attack alone, and all kinds in one search ({COMBINED}), each with its own budget. "
        f"Refused, {COMBINED}: {esc(_reasons(report.kinds[-1]))}."
    )
    return f'<p class="lead">{lead}</p>{_table("attack-table", heads, rows)}'


def _reasons(kind: KindReport) -> str:
    return ", ".join(f"{why} {count:,}" for why, count in kind.refused.items()) or "nothing"


def _behaviours(report: AttackReport) -> str:
    heads = [("Change", "text"), ("Texts", "number"), ("Answer turns", "number")]
    heads += [("Interval", "number"), ("Probability falls by", "number")]
    rows = []
    for one in report.behaviours:
        turned, fall = report.figures(one)
        rows.append(
            f'<tr><th class="t" scope="row">{esc(one.name)}</th>'
            f'<td data-v="{turned.n}">{turned.n:,}</td>'
            f"{_number(turned)}<td>{_limits(turned)}</td>{_number(fall)}</tr>"
        )
    lead = (
        "Other names and numbers should turn no answer. A negation is reported apart: whether it "
        "should turn the answer depends on the task."
    )
    return f'<p class="lead">{lead}</p>{_table("behaviour-table", heads, rows)}'


def _examples(report: AttackReport, kind: KindReport) -> str:
    heads = [("Line", "number"), ("Text", "text"), ("Meant", "text"), ("Answered", "text")]
    heads += [("Sure before", "number"), ("Sure after", "number"), ("Questions", "number")]
    shown = f" The first {SHOWN} of {len(kind.broken):,}." if len(kind.broken) > SHOWN else ""
    rows = [_example(report, attempt) for attempt in kind.broken[:SHOWN]]
    lead = f"What was changed is marked; sure is of the right answer.{shown}"
    return f'<p class="lead">{lead}</p>{_table(f"table-{kind.name}", heads, rows)}'


def _example(report: AttackReport, attempt: Attempt) -> str:
    example = report.examples[attempt.number]
    changes = ", ".join(f"{one.before} → {one.after}" for one in attempt.changes)
    return (
        f'<tr><td data-v="{example.row}">{example.row}</td>'
        f'<td class="t text" dir="auto">{_marked(attempt)}<br>'
        f'<span class="lead">{esc(changes)}</span></td>'
        f'<td class="t" dir="auto">{esc(example.label)}</td>'
        f'<td class="t" dir="auto">{esc(report.labels[attempt.answer])}</td>'
        f'<td data-v="{attempt.sure_before:.6f}">{attempt.sure_before:.3f}</td>'
        f'<td data-v="{attempt.sure_after:.6f}">{attempt.sure_after:.3f}</td>'
        f'<td data-v="{attempt.queries}">{attempt.queries}</td></tr>'
    )


def _marked(attempt: Attempt) -> str:
    parts = []
    for part, mark in marked(attempt):
        # `esc` trims what it shows: the spaces about a part are put back.
        before = " " if part[:1].isspace() else ""
        after = " " if part.strip() and part[-1:].isspace() else ""
        shown = f"<mark>{esc(part)}</mark>" if mark else esc(part)
        parts.append(f"{before}{shown}{after}")
    return "".join(parts)


def _turns(report: AttackReport, behaviour: Behaviour) -> str:
    heads = [("Line", "number"), ("Text", "text"), ("Changed", "text")]
    heads += [("Answered before", "text"), ("After", "text")]
    rows = []
    for turn in behaviour.examples[:SHOWN]:
        example = report.examples[turn.number]
        rows.append(
            f'<tr><td data-v="{example.row}">{example.row}</td>'
            f'<td class="t text" dir="auto">{esc(example.text[:400])}</td>'
            f'<td class="t text" dir="auto">{esc(turn.text[:400])}</td>'
            f'<td class="t" dir="auto">{esc(report.labels[turn.before])}</td>'
            f'<td class="t" dir="auto">{esc(report.labels[turn.answer])}</td></tr>'
        )
    return _table(f"turn-{behaviour.name}", heads, rows)


def _table(identity: str, heads: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    """A sortable table; `heads` are (text, "text" or "number"), an empty text is not sortable."""
    cells = "".join(
        f'<th scope="col" data-kind="{kind}"{_left(kind)}>'
        f'<button type="button">{text}</button></th>'
        if text
        else "<td></td>"
        for text, kind in heads
    )
    return (
        f'<div class="panel"><table id="{identity}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _left(kind: str) -> str:
    return ' class="t"' if kind == "text" else ""


def _value(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.3f}"


def _number(figure: Figure, form: str = ".3f") -> str:
    if figure.value is None:
        return '<td data-v="-1">–</td>'
    return f'<td data-v="{figure.value:.6f}">{figure.value:{form}}</td>'


def _range(figure: Figure) -> str:
    return f"{LEVEL:.0%} interval {_limits(figure)}, n {figure.n:,}"


def _limits(figure: Figure) -> str:
    return "–" if figure.interval is None else f"{figure.interval[0]:.3f}–{figure.interval[1]:.3f}"


def _terms() -> str:
    terms = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in _TERMS.items())
    summary = "<summary>What the figures mean</summary>"
    return f"<section><details>{summary}<dl>{terms}</dl></details></section>"


def _footer(report: AttackReport) -> str:
    return (
        f"<footer>{esc(report.data)}, sha256 {esc(report.sha256)} · intervals from "
        f"{RESAMPLES:,} resamples · seed {report.seed} · made by Freehold</footer>"
    )
