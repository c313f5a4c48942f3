"""An attack as one self-contained HTML page, in the frame of all reports."""

from __future__ import annotations

from freehold.evaluate.attack.invariance import Behaviour
from freehold.evaluate.attack.report import COMBINED, SHOWN, AttackReport, Figure, KindReport
from freehold.evaluate.attack.search import Attempt
from freehold.evaluate.attack.spans import marked
from freehold.evaluate.charts import esc, f1_bar
from freehold.evaluate.intervals import LEVEL, RESAMPLES
from freehold.evaluate.page import cards, page, table

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
    sections = [("attacks", "Attacks", _attacks(report))]
    sections += [("behaviour", "Names, numbers, negation", _behaviours(report))]
    sections += [
        (f"broken-{one.name}", f"What turned the answer: {one.name}", _examples(report, one))
        for one in reversed(report.kinds)
        if one.broken
    ]
    sections += [
        (f"turned-{one.name}", f"Turned by another {one.name}", _turns(report, one))
        for one in report.behaviours
        if one.examples
    ]
    limits, combined = report.limits, report.kinds[-1]
    return page(
        title,
        kicker="Attack · text-classification",
        facts=[
            report.data,
            f"{report.n:,} texts",
            f"at most {limits.budget} questions a text",
            f"{limits.words:.0%} of its words",
            f"similarity {limits.similarity:g}",
        ],
        cards=cards(
            [
                ("Accuracy under attack", _value(combined.accuracy), _range(combined.accuracy)),
                ("Clean accuracy", _value(report.clean), _range(report.clean)),
                ("Attack succeeds", _value(combined.success), _range(combined.success)),
                ("Words changed", _value(combined.words_changed), "where it succeeds"),
            ]
        ),
        notes=report.notes,
        sections=sections,
        terms=_TERMS,
        footer=f"{report.data}, sha256 {report.sha256} · intervals from {RESAMPLES:,} resamples · "
        f"seed {report.seed} · made by Freehold",
    )


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
    return f'<p class="lead">{lead}</p>{table("attack-table", heads, rows)}'


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
    return f'<p class="lead">{lead}</p>{table("behaviour-table", heads, rows)}'


def _examples(report: AttackReport, kind: KindReport) -> str:
    heads = [("Line", "number"), ("Text", "text"), ("Meant", "text"), ("Answered", "text")]
    heads += [("Sure before", "number"), ("Sure after", "number"), ("Questions", "number")]
    shown = f" The first {SHOWN} of {len(kind.broken):,}." if len(kind.broken) > SHOWN else ""
    rows = [_example(report, attempt) for attempt in kind.broken[:SHOWN]]
    lead = f"What was changed is marked; sure is of the right answer.{shown}"
    return f'<p class="lead">{lead}</p>{table(f"table-{kind.name}", heads, rows)}'


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
    return table(f"turn-{behaviour.name}", heads, rows)


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
