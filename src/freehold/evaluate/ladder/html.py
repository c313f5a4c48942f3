"""A ladder as one self-contained HTML page: the frontier as SVG, the table, the rule."""

from __future__ import annotations

import math
from importlib import resources

from freehold.evaluate.charts import esc
from freehold.evaluate.ladder.rungs import Ladder, Rung
from freehold.evaluate.ladder.terminal import explained, money

__all__ = ["chart", "page"]

_LEFT, _TOP, _WIDE, _HIGH = 70, 20, 760, 340
_STYLE = """
.frontier { width: 100%; max-width: 900px; margin: 0 auto; font-size: 12px; }
.frontier .dot { fill: var(--faint); } .frontier .dot.on { fill: var(--good); }
.frontier .dot.chosen { stroke: var(--ink); stroke-width: 2.5; }
.frontier .whisker { stroke: var(--soft); stroke-width: 1.2; }
.frontier .stairs { stroke: var(--good); stroke-width: 1.5; fill: none; stroke-dasharray: 5 4; }
.frontier .name { fill: var(--ink); }
tr.chosen > * { font-weight: 650; }
"""


def page(ladder: Ladder, title: str) -> str:
    """The whole page as text (write it as UTF-8); `title` heads it. Nothing in it runs."""
    style = resources.files("freehold.evaluate").joinpath("report.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    notes = [explained(ladder)] if ladder.rungs else []
    notes += [f"{rung} was not climbed: {why}" for rung, why in ladder.failed.items()]
    if ladder.skipped:
        notes.append(f"Stopped before: {', '.join(ladder.skipped)}.")
    told = "".join(f"<li>{esc(note)}</li>" for note in notes)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{style}{_STYLE}</style></head>\n"
        '<body><main><header><p class="kicker">Ladder</p>'
        f"<h1>{esc(title)}</h1><p>learnt from {esc(ladder.data)} · scored on "
        f"{ladder.n:,} examples of {esc(ladder.dev)}</p></header>"
        f'<div class="notes"><ul>{told}</ul></div>'
        '<section><h2>Score against the cost of serving</h2><div class="panel pad">'
        f"{chart(ladder)}</div></section><section><h2>Rungs</h2>{_table(ladder)}</section>"
        "<footer>Intervals: paired bootstrap over the dev examples, 95 %. They speak of the luck "
        "of these examples, not of another training run nor of texts unlike these. Costs of "
        f"serving: {esc(ladder.machine_per_hour)} {esc(ladder.currency)} an hour for this "
        "machine, always busy; a machine that waits costs as much.</footer></main></body></html>\n"
    )


def chart(ladder: Ladder) -> str:
    """Score up with its interval, serving cost across in powers of ten, the frontier as stairs."""
    if not ladder.rungs:
        return "<p>No rung was climbed.</p>"
    costs = [_log(rung) for rung in ladder.rungs]
    left, right = min(costs) - 0.15, max(costs) + 0.35
    low = min(rung.interval[0] for rung in ladder.rungs)
    high = max(rung.interval[1] for rung in ladder.rungs)
    low, high = low - 0.02, min(1.0, high + 0.02)

    def across(cost: float) -> float:
        return _LEFT + (cost - left) / (right - left) * _WIDE

    def down(score: float) -> float:
        return _TOP + (high - score) / (high - low) * _HIGH

    marks = "".join(_mark(ladder, rung, across(_log(rung)), down) for rung in ladder.rungs)
    stairs, before = "", None
    for rung in sorted((r for r in ladder.rungs if r.frontier), key=_log):
        x, y = across(_log(rung)), down(rung.score)
        stairs += f"M{x:.1f} {y:.1f}" if before is None else f"H{x:.1f}V{y:.1f}"
        before = rung
    bottom = _TOP + _HIGH
    return (
        f'<svg class="frontier" viewBox="0 0 {_LEFT + _WIDE + 20} {bottom + 50}" role="img" '
        'aria-label="Score of each rung against what serving it costs">'
        f"{_scales(left, right, low, high, across, down)}"
        f'<path class="stairs" d="{stairs}"/>{marks}'
        f'<text x="{_LEFT + _WIDE / 2}" y="{bottom + 40}" text-anchor="middle">'
        f"{esc(ladder.currency)} per 1,000 inputs</text></svg>"
    )


def _mark(ladder: Ladder, rung: Rung, x: float, down: object) -> str:
    assert callable(down)
    y, top, end = down(rung.score), down(rung.interval[1]), down(rung.interval[0])
    kinds = "dot" + " on" * rung.frontier + " chosen" * (rung is ladder.recommended)
    told = (
        f"{rung.figures.rung} ({rung.figures.version}): {rung.score:.4f}, "
        f"{money(rung.figures.serve_cost)} {ladder.currency} per 1,000 inputs"
    )
    return (
        f"<g><title>{esc(told)}</title>"
        f'<path class="whisker" d="M{x:.1f} {top:.1f}V{end:.1f}'
        f'M{x - 4:.1f} {top:.1f}h8M{x - 4:.1f} {end:.1f}h8"/>'
        f'<circle class="{kinds}" cx="{x:.1f}" cy="{y:.1f}" r="6"/>'
        f'<text class="name" x="{x + 10:.1f}" y="{y + 4:.1f}">{esc(rung.figures.rung)}</text></g>'
    )


def _scales(
    left: float, right: float, low: float, high: float, across: object, down: object
) -> str:
    assert callable(across)
    assert callable(down)
    step = next(s for s in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / s <= 9 or s == 0.2)
    lines, texts = "", ""
    for number in range(math.ceil(low / step), math.floor(high / step) + 1):
        y = down(number * step)
        lines += f"M{_LEFT} {y:.1f}h{_WIDE}"
        texts += (
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number * step:.3g}</text>'
        )
    bottom = _TOP + _HIGH
    for power in range(math.floor(left), math.ceil(right) + 1):
        for times in (1, 2, 5):
            at = power + math.log10(times)
            if left <= at <= right:
                x = across(at)
                lines += f"M{x:.1f} {_TOP}v{_HIGH}"
                shown = f"{times * 10.0**power:.{max(0, -power)}f}"
                texts += f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{shown}</text>'
    return f'<path class="lines" d="{lines}"/>{texts}'


def _log(rung: Rung) -> float:
    return math.log10(float(rung.figures.serve_cost) or 1e-12)


def _table(ladder: Ladder) -> str:
    heads = (
        ("t", "rung"), ("t", "version"), ("", ladder.metric), ("", "interval"),
        ("", "below the best"), ("", "its interval"), ("", "training, s"),
        ("", f"training, {ladder.currency}"), ("", f"1,000 inputs, {ladder.currency}"),
        ("", "inputs/s"), ("", "ms a short text"), ("", "MB"), ("t", "engine"),
    )  # fmt: skip
    head = "".join(f'<th class="{kind}">{esc(name)}</th>' for kind, name in heads)
    body = "".join(_row(ladder, rung) for rung in ladder.rungs)
    return (
        f'<div class="panel"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _row(ladder: Ladder, rung: Rung) -> str:
    figures = rung.figures
    low, high = rung.behind_interval
    cells = [
        ("t", figures.rung),
        ("t", figures.version),
        ("", f"{rung.score:.4f}"),
        ("", f"{rung.interval[0]:.4f}-{rung.interval[1]:.4f}"),
        ("", f"{rung.behind:.4f}"),
        ("", "" if rung is ladder.best else f"{low:+.4f} to {high:+.4f}"),
        ("", f"{figures.train_seconds:,.1f}"),
        ("", money(figures.train_cost)),
        ("", money(figures.serve_cost)),
        ("", f"{figures.inputs_per_second:,.0f}"),
        ("", f"{figures.p50_ms:.2f}"),
        ("", f"{figures.size_mb:.1f}"),
        ("t", f"{figures.engine} {figures.precision}"),
    ]
    kind = ' class="chosen"' if rung is ladder.recommended else ""
    shown = "".join(f'<td class="{where}">{esc(cell)}</td>' for where, cell in cells)
    return f"<tr{kind}>{shown}</tr>"
