"""What the labels of the splits allow: too rare, unseen, misspelt, lopsided."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from freehold.data.findings import Finding, counted
from freehold.data.table import printable
from freehold.tasks.bio import entities
from freehold.tasks.types import Dataset, Example, LabelsExample, PairExample, TaggedExample

__all__ = ["Labels", "find_labels", "labels_of"]

_RARE = 8  # examples below which a label can hardly be learnt, and its score not be told
_LOPSIDED = 10  # largest to smallest
_LOST = frozenset({"nan", "null", "<na>", "#n/a", "undefined"})


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one split: rows by label (for tags: by entity type, one row an entity), and
    what answering always the same gets right, of texts or of words."""

    rows: Mapping[str, list[int]]
    majority: float
    majority_label: str

    @property
    def counts(self) -> dict[str, int]:
        """Counts by label, the most frequent first."""
        counted = {label: len(rows) for label, rows in self.rows.items()}
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def labels_of(data: Dataset) -> Labels:
    rows: dict[str, list[int]] = {}
    words: Counter[str] = Counter()
    for example in data.examples:
        match example:
            case TaggedExample():
                tags = example.tags or ()
                words.update(tags)
                for kind, _, _ in entities(tags):
                    rows.setdefault(kind, []).append(example.row)
            case LabelsExample():
                for label in example.labels or ():
                    rows.setdefault(label, []).append(example.row)
                    words[label] += 1
            case Example(label=str(label)) | PairExample(label=str(label)):
                rows.setdefault(label, []).append(example.row)
                words[label] += 1
            case _:  # numbers, and parts of a text
                pass
    label, most = max(words.items(), key=lambda item: item[1], default=("", 0))
    return Labels(rows, most / max(1, words.total()), label)


def find_labels(splits: Mapping[str, Labels], *, tagged: bool) -> Iterator[Finding]:
    """Findings about the labels; the split named "train", or else the first, is learnt from."""
    train = "train" if "train" in splits else next(iter(splits))
    learnt = splits[train]
    what = "entity type" if tagged else "label"
    yield from _too_few(train, learnt, tagged=tagged)
    yield from _rare(train, learnt, what)
    for split, labels in splits.items():
        yield from _odd(split, labels, what)
        if split != train:
            yield from _unseen(train, learnt, split, labels, what)
            yield from _untested(learnt, split, labels, what)
    yield from _imbalance(train, learnt, what, tagged=tagged)


def _too_few(split: str, labels: Labels, *, tagged: bool) -> Iterator[Finding]:
    if tagged and not labels.rows:
        message, hint = "no word is part of an entity", "Mark some entities with B- and I- tags."
    elif not tagged and len(labels.rows) < 2:
        message, hint = (
            "there is one label only",
            "A model needs at least two labels to choose from.",
        )
    else:
        return
    yield Finding("one_label", "error", split, message, hint, len(labels.rows))


def _rare(split: str, labels: Labels, what: str) -> Iterator[Finding]:
    once = sorted(label for label, rows in labels.rows.items() if len(rows) < 2)
    rare = sorted(label for label, rows in labels.rows.items() if 2 <= len(rows) < _RARE)
    if once:
        yield Finding(
            "seen_once",
            "error",
            split,
            f"{_some(once, what)} seen once: {_listed(once)}",
            "Add examples, or merge it into another: from one example nothing general is learnt.",
            len(once),
            sorted(labels.rows[label][0] for label in once),
            tuple((label,) for label in once),
        )
    if rare:
        yield Finding(
            "rare_label",
            "warning",
            split,
            f"{_some(rare, what)} with fewer than {_RARE} examples: {_listed(rare)}",
            "Add examples, or merge it into another.",
            len(rare),
            sorted(row for label in rare for row in labels.rows[label]),
            tuple((label,) for label in rare),
        )


def _odd(split: str, labels: Labels, what: str) -> Iterator[Finding]:
    """Labels that look like a lost value, or like two spellings of one."""
    lost = sorted(label for label in labels.rows if label.lower() in _LOST)
    if lost:
        yield Finding(
            "lost_label",
            "warning",
            split,
            f"the {what} {_listed(lost)} looks like a value that was lost",
            "Give these rows their label, or take them out.",
            sum(len(labels.rows[label]) for label in lost),
            sorted(row for label in lost for row in labels.rows[label]),
        )
    spellings: dict[str, list[str]] = {}
    for label in sorted(labels.rows):
        folded = "".join(sign for sign in label.casefold() if sign.isalnum())
        spellings.setdefault(folded or label, []).append(label)
    variants = [tuple(group) for group in spellings.values() if len(group) > 1]
    if variants:
        # All but the most frequent spelling of each are the rows to correct.
        minor = [
            label
            for group in variants
            for label in sorted(group, key=lambda label: -len(labels.rows[label]))[1:]
        ]
        yield Finding(
            "label_variants",
            "warning",
            split,
            f"{_some(variants, what)} spelt in more than one way: "
            + ", ".join(printable(" / ".join(group)) for group in variants[:5]),
            "Choose one spelling; the rows are those of the rarer ones.",
            len(variants),
            sorted(row for label in minor for row in labels.rows[label]),
            tuple(variants),
        )


def _unseen(train: str, learnt: Labels, split: str, labels: Labels, what: str) -> Iterator[Finding]:
    unseen = sorted(set(labels.rows) - set(learnt.rows))
    if unseen:
        rows = sorted(row for label in unseen for row in labels.rows[label])
        yield Finding(
            "unseen_label",
            "error",
            split,
            f"{_some(unseen, what)} not in {train}: {_listed(unseen)} "
            f"({counted(len(rows), 'row', 'rows')})",
            f"Add examples to {train}, or take these rows out: they can only be answered wrongly.",
            len(unseen),
            rows,
            tuple((label,) for label in unseen),
        )


def _untested(learnt: Labels, split: str, labels: Labels, what: str) -> Iterator[Finding]:
    missing = sorted(set(learnt.rows) - set(labels.rows))
    if missing:
        yield Finding(
            "untested_label",
            "info",
            split,
            f"{_some(missing, what)} without an example here: {_listed(missing)}",
            "Its quality cannot be measured on this split; add some examples.",
            len(missing),
            (),
            tuple((label,) for label in missing),
        )


def _imbalance(split: str, labels: Labels, what: str, *, tagged: bool) -> Iterator[Finding]:
    counts = labels.counts
    if len(counts) < 2:
        return
    (most, largest), (least, smallest) = next(iter(counts.items())), list(counts.items())[-1]
    ratio = largest / smallest
    unit = "words" if tagged else "texts"
    yield Finding(
        "imbalance",
        "warning" if ratio >= _LOPSIDED else "info",
        split,
        f"the most frequent {what}, {printable(most)}, has {largest:,} examples, the rarest, "
        f"{printable(least)}, {smallest:,} ({ratio:,.1f} to 1); always answering "
        f"{printable(labels.majority_label)} "
        f"gets {labels.majority:.1%} of {unit} right",
        "Compare scores with that baseline and look at macro F1; consider class_weights.",
        round(ratio),
    )


def _some(labels: Sequence[object], what: str) -> str:
    return counted(len(labels), what, f"{what}s")


def _listed(labels: list[str]) -> str:
    shown = ", ".join(printable(label) for label in labels[:5])
    return shown if len(labels) <= 5 else f"{shown} and {len(labels) - 5:,} more"
