"""An attack on a model as a whole: every text, each kind and all together, with intervals."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.data.perturb.lexicon import Lexicon, shipped
from freehold.data.perturb.moves import KINDS, Kind
from freehold.data.perturb.words import Words, cut
from freehold.errors import DataError
from freehold.evaluate.attack.driver import Predict, Similarity, run, weigh
from freehold.evaluate.attack.invariance import Behaviour, behave
from freehold.evaluate.attack.search import Attempt, Limits, Search, Target, search
from freehold.evaluate.intervals import LEVEL, RESAMPLES, Interval
from freehold.evaluate.texts import excerpt
from freehold.tasks.types import Dataset, Example

__all__ = ["COMBINED", "AttackReport", "Figure", "KindReport", "attack"]

COMBINED = "combined"
SHOWN = 30  # examples that are kept of each kind


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over `n` texts with its bootstrap interval; None of all where n is 0."""

    value: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True, eq=False)
class KindReport:
    """One attack over all texts. Accuracy is over all of them, success over those answered rightly
    before, words and queries over the broken and the attacked ones."""

    name: str
    kinds: tuple[Kind, ...]
    accuracy: Figure  # under attack
    success: Figure
    words_changed: Figure  # share of the words, of the texts that it broke
    queries: Figure
    refused: dict[str, int]  # by the validity filter, by reason
    broken: tuple[Attempt, ...]  # in the order of the texts


@dataclass(frozen=True, eq=False)
class AttackReport:
    """What small changes do to a model on one file; `texts` and `labels` are for the examples."""

    data: str
    sha256: str
    n: int
    labels: tuple[str, ...]
    limits: Limits
    seed: int
    clean: Figure
    kinds: tuple[KindReport, ...]  # the last one is all kinds combined
    behaviours: tuple[Behaviour, ...]
    examples: Sequence[Example]
    notes: tuple[str, ...]

    def figures(self, behaviour: Behaviour) -> tuple[Figure, Figure]:
        """Share of texts whose answer turned, and how far the old answer's probability fell."""
        ones = np.ones(len(behaviour.turned))
        return (
            _figure(behaviour.turned, ones, self.seed),
            _figure(behaviour.fall, ones, self.seed),
        )

    def document(self) -> dict[str, Any]:
        """A dict for `json.dumps`; docs/harden.md lists its keys. Figures are fractions, 0..1."""
        return {
            "data": self.data,
            "sha256": self.sha256,
            "n": self.n,
            "limits": asdict(self.limits),
            "bootstrap": {"level": LEVEL, "resamples": RESAMPLES, "seed": self.seed},
            "clean_accuracy": asdict(self.clean),
            "attacks": {one.name: self._kind(one) for one in self.kinds},
            "behaviour": {one.name: self._behaviour(one) for one in self.behaviours},
            "notes": list(self.notes),
        }

    def _kind(self, one: KindReport) -> dict[str, Any]:
        return {
            "accuracy_under_attack": asdict(one.accuracy),
            "success_rate": asdict(one.success),
            "words_changed": asdict(one.words_changed),
            "queries": asdict(one.queries),
            "refused": one.refused,
            "examples": [self._example(attempt) for attempt in one.broken[:SHOWN]],
        }

    def _example(self, attempt: Attempt) -> dict[str, Any]:
        example = self.examples[attempt.number]
        return {
            "row": example.row,
            "text": excerpt(example.text, 400),
            "attacked": excerpt(attempt.text, 400),
            "label": example.label,
            "answer": self.labels[attempt.answer],
            "probability_before": attempt.sure_before,
            "probability_after": attempt.sure_after,
            "changes": [asdict(change) for change in attempt.changes],
            "queries": attempt.queries,
            "similarity": attempt.similarity,
        }

    def _behaviour(self, one: Behaviour) -> dict[str, Any]:
        turned, fall = self.figures(one)
        return {
            "turned": asdict(turned),
            "probability_fall": asdict(fall),
            "examples": [
                {
                    "row": self.examples[turn.number].row,
                    "text": excerpt(self.examples[turn.number].text, 400),
                    "changed": excerpt(turn.text, 400),
                    "before": self.labels[turn.before],
                    "after": self.labels[turn.answer],
                }
                for turn in one.examples[:SHOWN]
            ],
        }


def attack(
    data: Dataset,
    predict: Predict,
    labels: Sequence[str],
    similarity: Similarity,
    *,
    limits: Limits | None = None,
    kinds: Sequence[Kind] = KINDS,
    each: bool = True,
    lexicon: Lexicon | None = None,
    most: int | None = None,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] = lambda name, of, done: None,
) -> AttackReport:
    """Attack a classifier on labelled texts, with each kind (unless not `each`) and with all.

    `predict` gives (texts, labels) probabilities in the order of `labels`, `similarity` the cosine
    of pairs of texts. `most` takes a sample of so many texts, drawn by the seed. The same data,
    model and seed give the same report. Raises DataError (not labelled texts, or none).
    """
    limits, lexicon = limits or Limits(), lexicon or shipped()
    examples = _sample(data, most, seed)
    known = {label: number for number, label in enumerate(labels)}
    gold = [known.get(example.label or "", -1) for example in examples]
    words = [cut(example.text, lexicon.entries) for example in examples]
    on_progress("the first answers", len(examples), 0)
    rows = predict([example.text for example in examples])
    targets = _targets(words, gold, rows, predict, limits, seed)
    clean = np.array([float(row.argmax() == g) for row, g in zip(rows, gold, strict=True)])
    names: list[tuple[str, tuple[Kind, ...]]] = [(kind, (kind,)) for kind in kinds if each]
    names.append((COMBINED, tuple(kinds)))
    reports = []
    for order, (name, some) in enumerate(names):
        attempts = run(
            _searches(targets, some, lexicon, limits, [seed, order]),
            predict,
            similarity,
            on_done=functools.partial(on_progress, name, len(targets)),
        )
        reports.append(_report(name, some, attempts, len(examples), seed))
    on_progress("names, numbers, negation", len(examples), 0)
    behaviours = behave([example.text for example in examples], rows, predict, seed=seed)
    return AttackReport(
        data=data.path.name,
        sha256=data.sha256,
        n=len(examples),
        labels=tuple(labels),
        limits=limits,
        seed=seed,
        clean=_figure(clean, np.ones(len(clean)), seed),
        kinds=tuple(reports),
        behaviours=behaviours,
        examples=examples,
        notes=tuple(_notes(data, examples, gold, words, lexicon)),
    )


def _sample(data: Dataset, most: int | None, seed: int) -> list[Example]:
    examples = [one for one in data.examples if isinstance(one, Example) and one.label is not None]
    if not examples or len(examples) < len(data):
        raise DataError(
            f"{data.path.name} is not a file of labelled texts: an attack needs the right answers.",
            hint="Name a file with a text and one label each, as for `freehold evaluate`.",
        )
    if most is None or most >= len(examples):
        return examples
    chosen = np.random.default_rng([seed, 100]).permutation(len(examples))[:most]
    return [examples[number] for number in np.sort(chosen)]


def _targets(
    words: Sequence[Words],
    gold: Sequence[int],
    rows: NDArray[np.float64],
    predict: Predict,
    limits: Limits,
    seed: int,
) -> list[Target]:
    texts = [(number, one, gold[number]) for number, one in enumerate(words)]
    chance = np.random.default_rng([seed, 101])
    # Half of the budget at most goes into finding out which words matter.
    return weigh(texts, rows, predict, limits.budget // 2, chance)


def _searches(
    targets: Sequence[Target],
    kinds: tuple[Kind, ...],
    lexicon: Lexicon,
    limits: Limits,
    seed: list[int],
) -> list[Search]:
    return [
        search(target, kinds, lexicon, limits, np.random.default_rng([*seed, target.number]))
        for target in targets
    ]


def _report(
    name: str, kinds: tuple[Kind, ...], attempts: Sequence[Attempt], n: int, seed: int
) -> KindReport:
    attacked, broken = np.zeros(n), np.zeros(n)
    words, queries = np.zeros(n), np.zeros(n)
    refused: Counter[str] = Counter()
    for one in attempts:
        attacked[one.number], queries[one.number] = 1.0, one.queries
        refused.update(one.refused)
        if one.broken:
            broken[one.number] = 1.0
            words[one.number] = len(one.changes) / one.words
    return KindReport(
        name=name,
        kinds=kinds,
        accuracy=_figure(attacked - broken, np.ones(n), seed),
        success=_figure(broken, attacked, seed),
        words_changed=_figure(words, broken, seed),
        queries=_figure(queries, attacked, seed),
        refused=dict(sorted(refused.items())),
        broken=tuple(one for one in attempts if one.broken),
    )


def _figure(values: NDArray[np.float64], counted: NDArray[np.float64], seed: int) -> Figure:
    """sum(values) / sum(counted), both (texts,), and the percentile interval of that ratio over
    resampled texts, as in `evaluate.intervals`."""
    n = int(counted.sum())
    if not n:
        return Figure(None, None, 0)
    chance = np.random.default_rng([seed, 1])
    drawn = chance.multinomial(len(values), np.full(len(values), 1 / len(values)), RESAMPLES)
    counts = drawn @ counted
    ratios = (drawn @ values)[counts > 0] / counts[counts > 0]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(ratios, (tail, 100 - tail))
    return Figure(float(values.sum() / n), (float(low), float(high)), n)


def _notes(
    data: Dataset,
    examples: Sequence[Example],
    gold: Sequence[int],
    words: Sequence[Words],
    lexicon: Lexicon,
) -> list[str]:
    notes = []
    if len(examples) < len(data):
        notes.append(f"{len(examples):,} of {len(data):,} texts were attacked, drawn by the seed.")
    if unknown := gold.count(-1):
        notes.append(
            f"{unknown:,} texts have a label that the model does not know; they count as wrong."
        )
    covered = [any(lexicon.synonyms(word) for word in one.words) for one in words]
    if (share := sum(covered) / len(covered)) < 0.5:
        notes.append(
            f"Only {share:.0%} of the texts have a word of the lexicon: the synonym attack says "
            "little here. Name a lexicon of your field with --lexicon."
        )
    return notes
