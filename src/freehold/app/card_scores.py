"""The other sections of a model card: what the version scores and cost, its limits, its use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from freehold.app.card_making import SOME, Known, dev_name
from freehold.app.markdown import code, escape, table
from freehold.tasks.registry import kinds, task_of

if TYPE_CHECKING:
    from freehold.evaluate.summary import LabelFigures, Summary
    from freehold.registry import Bundle, Version

__all__ = ["how_to_use_it", "limits", "since", "what_it_cost", "what_it_scores"]

WEAKEST = 15  # labels that are shown where there are more than SOME
FEW = 100  # dev examples below which a score says little


def what_it_scores(known: Known) -> list[str]:
    lines = ["## What it scores", ""]
    if known.pretrained:
        return lines + _held_out(known)
    metrics, score = known.version.metrics, known.score()
    if score is None:
        return [*lines, "No score is recorded."]
    name, value = score
    n = metrics.get("n")
    on = f" of {code(dev_name(known))}" if n else ""
    among = f" on {n:,} examples{on}" if isinstance(n, int) else ""
    limits_ = metrics.get("intervals", {}).get(name)
    lines.append(f"Chosen by {name.replace('_', ' ')}: **{value:.4f}**{_interval(limits_)}{among}.")
    if (taught := metrics.get(f"teacher_{name}")) is not None:
        lines.append(
            f"Its teacher's is {taught:.4f}: {metrics.get('retained', 0):.1%} of it is kept."
        )
    if known.summary is None:
        if not limits_:
            lines.append("An interval is not recorded.")
        return lines
    rows = [
        (figure.replace("_", " "), f"{number:.4f}", _ends(known.summary.intervals.get(figure)))
        for figure, number in known.summary.metrics.items()
    ]
    lines += ["", f"{_as_evaluated(known.version)}:", ""]
    lines += table(("figure", "on dev", "95 % interval"), rows)
    return lines + _by_label(known.summary)


def what_it_cost(known: Known) -> list[str]:
    version = known.version
    money = version.currency
    total = version.train_cost + version.label_cost
    pace = version.metrics.get("examples_per_second")
    learnt = f", {pace:,.0f} examples a second" if isinstance(pace, float) and pace else ""
    return [
        "## What it cost",
        "",
        f"- Machine: {version.train_seconds:,.1f} seconds as measured{learnt}: "
        f"{version.train_cost:.4f} {money}",
        f"- Labels: {version.label_cost:.2f} {money}",
        f"- Together: {total:.4f} {money}"
        + (", without what its lineage cost before" if known.chain else ""),
    ]


def limits(known: Known) -> list[str]:
    version, metrics = known.version, known.version.metrics
    found = [
        f"The project's texts are in the language {code(known.language)}; nothing was measured on "
        "others.",
        "Measured on texts like those it learnt from. On texts of another kind, place or time it "
        "may do worse, and says nothing of it.",
        _reading(known),
    ]
    if not known.pretrained:
        found.append(
            "Its best epoch, and what is tuned below, were chosen on the texts that it is scored "
            f"on, which flatters a little. `freehold evaluate {version.name} --data FILE` scores "
            "it on others."
        )
    found += _tuned(version)
    n = metrics.get("n")
    if isinstance(n, int) and n < FEW:
        found.append(f"{n} examples are few: the interval says more than the score.")
    if known.summary is not None and (absent := [r for r in known.summary.labels if not r.support]):
        found.append(f"{len(absent)} of its labels never occur on dev: nothing is known of them.")
    if metrics.get("interrupted"):
        found.append("The training was stopped before its end.")
    found.append(
        "Typing slips, synonyms and attacks are not part of the score: "
        f"`freehold attack {version.name}` measures them."
        if version.task == "text-classification"
        else "How it takes typing slips and attacks was not measured."
    )
    return ["## Limits", "", *(f"- {one}" for one in found if one)]


def how_to_use_it(known: Known) -> list[str]:
    version = known.version
    lines = ["## How to use it", ""]
    if version.task in ("masked-lm", "causal-lm"):
        verb = (
            f"freehold train --base {version.name} --data FILE --dev FILE"
            if version.task == "masked-lm"
            else f"freehold pretrain --objective clm --base {version.name} --corpus FILE"
        )
        return [*lines, "It answers nothing by itself; it is there to start from:", *_block(verb)]
    lines += [
        "A file of inputs, one answer a line:",
        *_block(f"freehold predict {version.name} --data inputs.jsonl --out answers.jsonl"),
        "",
        "Or over HTTP, in the shape of the Hugging Face API:",
        *_block(
            f"freehold export {version.name} && freehold promote {version.name} && freehold serve\n"
            'curl -H "Authorization: Bearer fh_…" -H "Content-Type: application/json" \\\n'
            f"  -d '{_request(version.task)}' localhost:8080/models/{version.model}"
        ),
    ]
    return lines


def since(version: Version, bundle: Bundle | None) -> list[str]:
    """What came after the card was written."""
    lines = ["## Since then", "", f"- Stage: {version.stage}"]
    if bundle is None:
        return [*lines, "- Not exported"]
    report = bundle.report
    told = [f"{bundle.engine} {bundle.precision}"]
    for name, form in (
        ("size_mb", "{:.1f} MB"),
        ("p50_ms", "{:.2f} ms for one short text (median)"),
        ("inputs_per_second", "{:,.0f} inputs a second in batches"),
        ("agreement", "{:.2%} of decisions as the trained weights make them"),
    ):
        if (value := report.get(name)) is not None:
            told.append(form.format(value))
    if (score := report.get("dev_score")) is not None:
        told.append(f"{str(report.get('metric')).replace('_', ' ')} {score:.4f} on dev")
    return [*lines, f"- Exported: {', '.join(told)}"]


def _by_label(summary: Summary) -> list[str]:
    rows = list(summary.labels)
    if not rows:
        return []
    title = "Of each label on dev:"
    if len(rows) > SOME:
        seen = sorted((row for row in rows if row.support), key=lambda row: row.f1)
        rows, title = seen[:WEAKEST], f"The {WEAKEST} weakest of {len(rows)} labels on dev:"
    head = ("label", "precision", "recall", "F1", "95 % interval of F1", "on dev")
    return ["", title, "", *table(head, [_label_row(row) for row in rows])]


def _label_row(row: LabelFigures) -> tuple[str, ...]:
    figures = (f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}")
    return escape(row.label), *figures, _ends(row.interval, 3), f"{row.support:,}"


def _held_out(known: Known) -> list[str]:
    metrics = known.version.metrics
    name = "perplexity" if "perplexity" in metrics else str(known.checkpoint.get("score_name", ""))
    rows = []
    for when in ("before", "after"):
        if look := metrics.get(when):
            value = f"{look['value']:,.4g} ({look['low']:,.4g} to {look['high']:,.4g})"
            rows.append((when, f"{look['loss']:.4f}", value, f"{look['n']:,}"))
        if when == "before" and metrics.get("head_loss") is not None:
            rows.append(("new head, same encoder", f"{metrics['head_loss']:.4f}", "", ""))
    head = ("texts kept aside", "loss", f"{name.replace('_', ' ')} (95 % interval)", "n")
    return ["Nobody labelled anything: it is measured on texts kept aside.", "", *table(head, rows)]


def _reading(known: Known) -> str:
    length = known.checkpoint.get("max_length")
    if length is None:
        return ""
    if known.version.task in kinds() and task_of(known.version.task).windows:
        return f"Longer texts than {length} tokens are read in windows, at most 32 of them."
    return f"It reads the first {length} tokens of a text; what comes after is cut off."


def _as_evaluated(version: Version) -> str:
    """What the table has, which need not be what epochs were chosen by."""
    tuned = [n for n in ("thresholds", "no_answer") if version.settings.get(n) is not None]
    return "With what is tuned, on one half of dev for the other" if tuned else "In full"


def _tuned(version: Version) -> list[str]:
    settings = version.settings
    found = []
    if (temperature := settings.get("temperature")) is not None:
        found.append(f"Its probabilities are calibrated on dev (temperature {temperature:.3f}).")
    if thresholds := settings.get("thresholds"):
        found.append(
            f"A label is given above a threshold of its own, tuned on dev: {min(thresholds):.2f} "
            f"to {max(thresholds):.2f}."
        )
    if settings.get("no_answer") is not None:
        found.append("When to say that a text has no answer is tuned on dev.")
    return found


def _ends(interval: Any, digits: int = 4) -> str:
    return f"{interval[0]:.{digits}f} to {interval[1]:.{digits}f}" if interval else ""


def _interval(interval: Any) -> str:
    return f" (95 % interval {_ends(interval)})" if interval else ""


def _block(text: str) -> list[str]:
    return ["", "```", text, "```"]


def _request(task: str) -> str:
    """A body that the task takes, as it stands between two apostrophes of a shell."""
    inputs, _ = task_of(task).wire.examples[0]
    return json.dumps({"inputs": inputs}, ensure_ascii=False).replace("'", "'\\''")
