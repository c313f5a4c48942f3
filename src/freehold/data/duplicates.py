"""Texts that occur more than once: within a split, with two labels, or in two splits."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from freehold.data.findings import Finding, counted
from freehold.data.near import near_pairs
from freehold.data.table import printable
from freehold.tasks.types import (
    AnyExample,
    Dataset,
    Example,
    LabelsExample,
    QuestionExample,
    TaggedExample,
)

__all__ = ["find_duplicates", "normalise"]

Key = str | tuple[str, ...]


def normalise(text: str) -> str:
    """What two texts have in common that a model or a person would call the same: compatibility
    forms (NFKC), letter case and the amount of white space do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class _Use:
    """One occurrence of a text: its row, the text exactly as it is, and its label, tags …"""

    row: int
    raw: Key
    label: str | tuple[str, ...] | None


@dataclass(slots=True)
class _Text:
    """All occurrences of what is the same text when normalised, by split."""

    uses: dict[str, list[_Use]] = field(default_factory=dict)

    def rows(self, split: str) -> tuple[int, ...]:
        return tuple(use.row for use in self.uses[split])

    def written(self, split: str) -> dict[Key, list[int]]:
        """The rows of each way in which the text is written."""
        ways: dict[Key, list[int]] = {}
        for use in self.uses[split]:
            ways.setdefault(use.raw, []).append(use.row)
        return ways


def find_duplicates(datasets: Mapping[str, Dataset]) -> Iterator[Finding]:
    """Duplicates, contradictions and leakage, exact and near. Empty texts take no part."""
    texts = _texts(datasets)
    pairs = near_pairs(list(texts))
    both = list(texts.values())
    near = [(both[i], both[j]) for i, j in pairs]
    for split in datasets:
        own = [text for text in both if split in text.uses]
        yield from _repeated(split, own)
        yield from _contradictory(split, [(text.uses[split]) for text in own])
        yield from _nearly_repeated(split, near)
    for one, other in combinations(datasets, 2):
        shared = [text for text in both if one in text.uses and other in text.uses]
        yield from _leaked(one, other, shared)
        yield from _contradictory_between(one, other, shared)
        yield from _nearly_leaked(one, other, near)


def _texts(datasets: Mapping[str, Dataset]) -> dict[str, _Text]:
    texts: dict[str, _Text] = {}
    for split, data in datasets.items():
        for example in data.examples:
            same = normalise(example.text)
            if same:
                use = _use(example)
                texts.setdefault(same, _Text()).uses.setdefault(split, []).append(use)
    return texts


def _use(example: AnyExample) -> _Use:
    match example:
        case TaggedExample():
            return _Use(example.row, example.tokens, example.tags)
        case Example():
            return _Use(example.row, example.text, example.label)
        case LabelsExample():
            label = None if example.labels is None else ", ".join(sorted(example.labels))
        case QuestionExample():
            found = example.answers
            label = None if found is None else " / ".join(sorted({text for text, _ in found}))
        case _:
            label = None if example.target is None else str(example.target)
    return _Use(example.row, example.input, label)


def _repeated(split: str, texts: Sequence[_Text]) -> Iterator[Finding]:
    """Rows beyond the first of each text: as written, and those that only folding makes equal."""
    exact: list[tuple[int, ...]] = []
    folded: list[tuple[int, ...]] = []
    exact_count = folded_count = 0
    for text in texts:
        if len(text.uses[split]) == 1:
            continue
        groups = text.written(split)
        same = [tuple(rows) for rows in groups.values() if len(rows) > 1]
        exact += same
        exact_count += sum(len(rows) - 1 for rows in same)
        if len(groups) > 1:
            folded.append(text.rows(split))
            folded_count += len(groups) - 1
    hint = "Keep one of each: repeats weigh more in training and score double in a test."
    if exact:
        yield Finding(
            "duplicate",
            "warning",
            split,
            f"{counted(exact_count, 'row repeats', 'rows repeat')} a text exactly as written "
            f"({counted(len(exact), 'text occurs', 'texts occur')} more than once)",
            hint,
            exact_count,
            exact,
        )
    if folded:
        more = "more " if exact else ""
        yield Finding(
            "duplicate_folded",
            "warning",
            split,
            f"{counted(folded_count, f'{more}row repeats', f'{more}rows repeat')} a text but for "
            f"letter case, width or spaces ({exact_count + folded_count:,} repeats in all)",
            hint,
            folded_count,
            folded,
        )


def _contradictory(split: str, texts: Sequence[Sequence[_Use]]) -> Iterator[Finding]:
    found = [(uses, _verdicts(uses)) for uses in texts if len(uses) > 1]
    found = [(uses, verdicts) for uses, verdicts in found if len(verdicts) > 1]
    if found:
        yield Finding(
            "contradiction",
            "warning",
            split,
            f"{counted(len(found), 'text has', 'texts have')} different {_marks(found)}",
            "Decide for one label and correct the others: no model can learn both.",
            len(found),
            [tuple(use.row for use in uses) for uses, _ in found],
            tuple(verdicts for _, verdicts in found),
        )


def _contradictory_between(one: str, other: str, shared: Sequence[_Text]) -> Iterator[Finding]:
    """Texts with a row in one split whose label the other split does not have for that text."""
    rows: list[tuple[int, ...]] = []
    labels: list[tuple[str, ...]] = []
    texts: list[tuple[Sequence[_Use], tuple[str, ...]]] = []
    for text in shared:
        left, right = text.uses[one], text.uses[other]
        pairs = [(mine, use) for use, mine in _opposed(right, left)]
        pairs += list(_opposed(left, right))
        for mine, use in dict.fromkeys(pairs):
            rows.append((mine.row, use.row))
            labels.append((_shown(mine.label), _shown(use.label)))
        if pairs:
            texts.append(([*left, *right], _verdicts([*left, *right])))
    if texts:
        yield Finding(
            "contradiction",
            "warning",
            f"{one}/{other}",
            f"{counted(len(texts), 'text differs', 'texts differ')} between {one} and {other} in "
            f"{_marks(texts)}",
            "Decide for one label: what is learnt from one side is counted wrong on the other.",
            len(texts),
            rows,
            tuple(labels),
        )


def _opposed(uses: Sequence[_Use], others: Sequence[_Use]) -> Iterator[tuple[_Use, _Use]]:
    """Each use with the first of `others` that contradicts it, if none of them agrees with it."""
    first = {use.label: use for use in reversed(others)}
    for use in uses:
        if use.label not in first:
            against = (it for it in first.values() if _comparable(use.label, it.label))
            opponent = min(against, key=lambda it: it.row, default=None)
            if opponent is not None:
                yield use, opponent


def _comparable(one: str | tuple[str, ...] | None, other: str | tuple[str, ...] | None) -> bool:
    """Tags of different numbers of words come from another splitting and contradict nothing."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other)
    return one is not None and other is not None


def _shown(label: str | tuple[str, ...] | None) -> str:
    return " ".join(label) if isinstance(label, tuple) else str(label)


def _verdicts(uses: Sequence[_Use]) -> tuple[str, ...]:
    """The different labels of one text, in order of occurrence; of tag sequences those that have
    one of the same length beside them."""
    labels = dict.fromkeys(use.label for use in uses if use.label is not None)
    tags = [label for label in labels if isinstance(label, tuple)]
    if not tags:
        return tuple(str(label) for label in labels)
    lengths = Counter(map(len, tags))
    return tuple(" ".join(label) for label in tags if lengths[len(label)] > 1)


def _marks(found: Sequence[tuple[Sequence[_Use], tuple[str, ...]]]) -> str:
    """What contradicts: the most frequent label pairs; tag sequences are too long to show."""
    if any(isinstance(uses[0].label, tuple) for uses, _ in found):
        return "tags"
    pairs = Counter(" / ".join(sorted(verdicts)) for _, verdicts in found)
    return "labels: " + ", ".join(
        f"{printable(pair)} ({count})" for pair, count in pairs.most_common(3)
    )


def _leaked(one: str, other: str, shared: Sequence[_Text]) -> Iterator[Finding]:
    """Texts of `one` that are in `other` too: as written, and those that folding makes equal."""
    exact: list[tuple[int, int]] = []
    folded: list[tuple[int, int]] = []
    exact_texts = folded_texts = 0
    exact_rows: set[int] = set()
    for text in shared:
        left, right = text.written(one), text.written(other)
        same = [raw for raw in left if raw in right]
        for raw in same:
            exact_texts += 1
            exact_rows.update(right[raw])
            exact += _paired(left[raw], right[raw])
        if not same:
            folded_texts += 1
            folded += _paired(text.rows(one), text.rows(other))
    hint = f"Take them out of {one}: a score on texts that were learnt says nothing about new ones."
    if exact:
        yield Finding(
            "leakage",
            "error",
            f"{one}/{other}",
            f"{counted(exact_texts, 'text of', 'texts of')} {one} also in {other}, exactly as "
            f"written ({counted(len(exact_rows), 'row', 'rows')} of {other})",
            hint,
            exact_texts,
            sorted(exact),
        )
    if folded:
        more = "more " if exact else ""
        yield Finding(
            "leakage_folded",
            "error",
            f"{one}/{other}",
            f"{counted(folded_texts, f'{more}text of', f'{more}texts of')} {one} also in {other} "
            "but for letter case, width or spaces (counting texts without these, "
            f"{len(shared):,} in all)",
            hint,
            folded_texts,
            sorted(folded),
        )


def _paired(left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs in which each row of both sides occurs; not every combination."""
    longest = max(len(left), len(right))
    return [(left[min(i, len(left) - 1)], right[min(i, len(right) - 1)]) for i in range(longest)]


def _nearly_repeated(split: str, near: Sequence[tuple[_Text, _Text]]) -> Iterator[Finding]:
    groups = _joined(
        [
            (a.rows(split)[0], b.rows(split)[0])
            for a, b in near
            if split in a.uses and split in b.uses
        ]
    )
    if groups:
        count = sum(len(group) - 1 for group in groups)
        yield Finding(
            "near_duplicate",
            "info",
            split,
            f"{counted(count, 'row nearly repeats', 'rows nearly repeat')} another "
            f"({counted(len(groups), 'group', 'groups')} with at least 0.9 of their 5-character "
            "sequences in common)",
            "Look at some: templates and small edits make a set look larger than it is.",
            count,
            groups,
        )


def _joined(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Groups of rows that pairs connect."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        parent.setdefault(row, row)
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, other in pairs:
        parent[root(other)] = root(one)
    groups: dict[int, list[int]] = {}
    for row in sorted(parent):
        groups.setdefault(root(row), []).append(row)
    return sorted(tuple(group) for group in groups.values())


def _nearly_leaked(one: str, other: str, near: Sequence[tuple[_Text, _Text]]) -> Iterator[Finding]:
    """Texts of `other` with a near twin in `one` that are not in `one` themselves."""
    pairs: list[tuple[int, int]] = []
    for a, b in near:
        for left, right in ((a, b), (b, a)):
            if one in left.uses and other in right.uses and one not in right.uses:
                pairs.append((left.rows(one)[0], right.rows(other)[0]))
    if pairs:
        count = len({row for _, row in pairs})
        yield Finding(
            "near_leakage",
            "warning",
            f"{one}/{other}",
            f"{counted(count, 'text', 'texts')} of {other} nearly the same as one of {one}",
            f"Keep near twins on one side: put them all into {one}, or all into {other}.",
            count,
            sorted(set(pairs)),
        )
