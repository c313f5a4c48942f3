"""One self-contained HTML page: no request leaves it, no text of the data runs.

Style and script are inline. The page's content security policy names the one script by its hash,
so that even markup that slipped through `esc` could not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

from freehold.evaluate.charts import esc

__all__ = ["card", "cards", "number", "page", "table"]


def page(
    title: str,
    *,
    kicker: str,
    facts: Sequence[str],
    cards: str,
    notes: Sequence[str],
    sections: Iterable[tuple[str, str, str]],
    terms: Mapping[str, str],
    footer: str,
) -> str:
    """The whole page as text (write it as UTF-8).

    `sections` are (identity, name, markup), those without markup left out; `cards` is markup too,
    all else is plain text.
    """
    folder = resources.files("freehold.evaluate")
    style = folder.joinpath("report.css").read_text(encoding="utf-8")
    script = folder.joinpath("report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    shown = [(key, name, body) for key, name, body in sections if body]
    links = "".join(f'<a href="#{key}">{name}</a>' for key, name, _ in shown)
    body = "".join(
        f'<section id="{key}"><h2>{name}</h2>{content}</section>' for key, name, content in shown
    )
    header = (
        f'<header><p class="kicker">{esc(kicker)}</p>'
        f"<h1>{esc(title)}</h1><p>{' · '.join(map(esc, facts))}</p></header>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{header}<nav>{links}</nav>{cards}"
        f"{_notes(notes)}{body}{_terms(terms)}<footer>{esc(footer)}</footer></main>\n"
        f"<script>{script}</script></body></html>\n"
    )


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """The figures that matter, the first one large: (name, value, what stands below), plain."""
    shown = [card(*item) for item in items]
    if shown:
        shown[0] = shown[0].replace('class="card"', 'class="card first"', 1)
    return f'<dl class="cards">{"".join(shown)}</dl>'


def card(name: str, value: str, below: str) -> str:
    return (
        f'<div class="card"><dt>{esc(name)}</dt><dd class="value">{esc(value)}</dd>'
        f'<dd class="range">{esc(below)}</dd></div>'
    )


def table(
    identity: str,
    heads: Sequence[tuple[str, str]],
    rows: Iterable[str],
    feet: Iterable[str] = (),
    kind: str = "panel",
) -> str:
    """A sortable table; `heads` are (text, "text" or "number"), an empty text is not sortable;
    `rows` and `feet` are markup."""
    cells = "".join(
        f'<th scope="col" data-kind="{sort}"{_left(sort)}>'
        f'<button type="button">{esc(text)}</button></th>'
        if text
        else "<td></td>"
        for text, sort in heads
    )
    foot = "".join(feet)
    return (
        f'<div class="{kind}"><table id="{identity}"><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>{f'<tfoot>{foot}</tfoot>' if foot else ''}</table></div>"
    )


def number(value: float) -> str:
    """A table's cell."""
    return f'<td data-v="{value:.6f}">{value:.3f}</td>'


def _left(kind: str) -> str:
    return ' class="t"' if kind == "text" else ""


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return f'<div class="notes"><ul>{"".join(f"<li>{esc(note)}</li>" for note in notes)}</ul></div>'


def _terms(terms: Mapping[str, str]) -> str:
    listed = "".join(f"<dt>{esc(name)}</dt><dd>{esc(text)}</dd>" for name, text in terms.items())
    summary = "<summary>What the figures mean</summary>"
    return f"<section><details>{summary}<dl>{listed}</dl></details></section>"
