"""The first sections of a model card: what the version is and how it was made."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from freehold.app.card_words import METHODS, PIPELINES, TASKS, hub_name, shown_base
from freehold.app.markdown import code, escape, table
from freehold.tasks.registry import kinds, task_of

if TYPE_CHECKING:
    from freehold.evaluate.summary import Summary
    from freehold.registry import Version

__all__ = ["SOME", "Known", "dev_name", "how_it_was_made", "metadata", "what_it_is"]

SOME = 40  # labels that are all told apart; of more the ends of the list
ENDS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """A version, and what its card says of it beyond the registry's row."""

    version: Version
    project: str
    language: str
    chain: tuple[Version, ...]  # what it was made from, the nearest first
    checkpoint: Mapping[str, Any]  # its freehold.json; empty where there is none
    counts: Mapping[str, int] | None = None  # of labels in the training data
    summary: Summary | None = None  # of dev

    @property
    def base(self) -> str:
        """Where the chain begins: minilm, a folder, a hub id."""
        last = self.chain[-1] if self.chain else self.version
        return str(last.lineage.get("base", "unknown"))

    @property
    def pretrained(self) -> bool:
        """Whether it learnt from texts without labels, and was chosen by texts kept aside."""
        return "before" in self.version.metrics

    def score(self) -> tuple[str, float] | None:
        """What it was chosen by, and how much of it."""
        name = self.checkpoint.get("score_name")
        value = self.version.metrics.get(name) if name else None
        return None if value is None else (str(name), float(value))


def metadata(known: Known) -> dict[str, Any]:
    """Front matter as Hugging Face's model cards have it. The licence is the owner's to choose."""
    version, score = known.version, known.score()
    base = hub_name(known.base)
    pipeline = PIPELINES.get(version.task, "text-classification")
    fields: dict[str, Any] = {
        "language": known.language,
        "license": "other",
        "library_name": "freehold",
        "pipeline_tag": pipeline,
        **({} if base is None else {"base_model": base}),
        "tags": ["freehold", version.task, str(version.lineage.get("method", "unknown"))],
    }
    if score is not None:
        file = dev_name(known)
        result = {
            "task": {"type": pipeline},
            "dataset": {"name": file, "type": file},
            "metrics": [{"type": score[0], "value": score[1], "name": score[0].replace("_", " ")}],
        }
        fields |= {
            "metrics": [score[0]],
            "model-index": [{"name": version.name, "results": [result]}],
        }
    return fields


def what_it_is(known: Known) -> list[str]:
    version = known.version
    made = version.created_at[:10]
    lines = [
        f"# {version.name}",
        "",
        f"{TASKS.get(version.task, f'A model for {version.task}.')} "
        f"Made in the project {escape(known.project)} on {made} with Freehold.",
        "",
        "## What it is",
        "",
        f"- Task: {version.task}",
    ]
    if labels := _labels(version):
        kind = "Tags" if version.task == "token-classification" else "Labels"
        lines.append(f"- {kind}: {len(labels)}")
    if (length := known.checkpoint.get("max_length")) is not None:
        lines.append(f"- Reads {length} tokens at a time")
    if known.counts:
        lines += ["", *_counted(known.counts, version.task)]
    elif labels:
        lines += ["", f"{_some(labels)}. How often each was learnt from is not recorded."]
    return lines


def how_it_was_made(known: Known) -> list[str]:
    version, lineage = known.version, known.version.lineage
    method = str(lineage.get("method", "unknown"))
    steps = [version, *known.chain]
    chain = [f"{one.name} ({one.lineage.get('method', 'unknown')})" for one in steps]
    digest = known.checkpoint.get("base_sha256")
    lines = [
        "## How it was made",
        "",
        f"- Method: {method}{f': {METHODS[method]}' if method in METHODS else ''}",
        f"- Lineage, the newest first: {' from '.join([*chain, escape(shown_base(known.base))])}",
    ]
    if digest:
        lines.append(f"- Started from weights with the sha256 {code(str(digest))}")
    files = lineage.get("data", {})
    for name, file in sorted(files.items(), key=lambda item: (item[0] != "train", item[0])):
        lines.append(f"- {escape(str(name)).capitalize()} file: {_file(file)}")
    for name in ("distil", "search", "static"):
        if facts := lineage.get(name):
            lines.append(f"- {name.capitalize()}: {_facts(facts)}")
    if workers := lineage.get("workers"):
        lines.append(f"- By {workers} workers on Ray, each with its share of every batch")
    lines.append(f"- Seed {lineage.get('seed', 0)}{_ran(lineage.get('ran'))}")
    knobs = _knobs(known)
    if knobs:
        rows = [(f"{code(name)}", escape(str(value))) for name, value in knobs.items()]
        lines += ["", "What differs from the default recipe, or was chosen by it:", ""]
        lines += table(("knob", "value"), rows)
    return lines


def _counted(counts: Mapping[str, int], task: str) -> list[str]:
    what = "Entities" if task == "token-classification" else "Examples"
    if len(counts) <= SOME:
        rows = [(escape(label), f"{count:,}") for label, count in counts.items()]
        return table(("label", f"{what.lower()} in the training data"), rows)
    ordered = list(counts.items())
    median = statistics.median(counts.values())
    most = ", ".join(f"{escape(label)} ({count:,})" for label, count in ordered[:ENDS])
    least = ", ".join(f"{escape(label)} ({count:,})" for label, count in ordered[-ENDS:])
    return [
        f"{what} of a label in the training data: {ordered[-1][1]:,} to {ordered[0][1]:,}, "
        f"half of the labels at most {median:,.0f}.",
        f"The most have {most}; the fewest {least}.",
    ]


def _labels(version: Version) -> tuple[str, ...]:
    """None where what is called a label only names a number, or the ends of an answer."""
    if version.task not in kinds():
        return ()
    named = {role.cell for role in task_of(version.task).roles if role.target}
    return version.labels if named & {"label", "labels", "tags"} else ()


def _some(labels: tuple[str, ...]) -> str:
    shown = ", ".join(escape(label) for label in labels[:SOME])
    more = len(labels) - SOME
    return f"Labels: {shown}" + (f" and {more} more" if more > 0 else "")


def _knobs(known: Known) -> dict[str, Any]:
    """Of the recipe as it was settled: what is not the default."""
    lineage = known.version.lineage
    recipe = known.checkpoint.get("recipe") or lineage.get("recipe") or {}
    if lineage.get("method") == "pretrain":
        from freehold.train.pretrain.knobs import Pretraining

        defaults = Pretraining(objective=recipe.get("objective", "mlm")).document()
        defaults["objective"] = None  # always said
    else:
        from freehold.train.recipe import Recipe

        defaults = Recipe().document()
    said = {"base", "seed", "threads"}
    return {
        name: value
        for name, value in recipe.items()
        if name not in said and value is not None and defaults.get(name) != value
    }


def dev_name(known: Known) -> str:
    """The file that it was chosen by: dev, or a corpus of which a part was kept aside."""
    data = known.version.lineage.get("data", {})
    name = "dev" if "dev" in data else "corpus"
    return PurePosixPath(str(data.get(name, {}).get("path", name))).name


def _file(file: Mapping[str, Any]) -> str:
    name = PurePosixPath(str(file.get("path", "?"))).name
    rows = file.get("rows")
    counted = f", {rows:,} examples" if isinstance(rows, int) else ""
    return f"{code(name)}{counted}, sha256 {code(str(file.get('sha256', '?')))}"


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {escape(_plain(v))}" for name, v in facts.items())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _ran(ran: Mapping[str, Any] | None) -> str:
    if not ran:
        return "; the precision and the threads it ran with are not recorded"
    return f", {ran['precision']}, {ran['threads']} thread{'s' * (ran['threads'] != 1)}"
