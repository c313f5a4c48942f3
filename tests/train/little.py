"""Small sets that a tiny random encoder learns in a second."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from freehold.tasks.types import Dataset, Example, TaggedExample, Task

KEYS = {
    "lost": ("lost", "missing", "gone"),
    "refund": ("refund", "money", "back"),
    "repair": ("broken", "repair", "flat"),
    "price": ("price", "cost", "much"),
}
FILLERS = ("please", "my", "the", "bike", "today", "hello", "again", "now")
NAMES = {
    "PER": (("anna",), ("omar",), ("lena",)),
    "LOC": (("paris",), ("new", "york"), ("lima",)),
}
WORDS = [*FILLERS, *(word for words in KEYS.values() for word in words)]
WORDS += [word for names in NAMES.values() for name in names for word in name]


def dataset(examples: Sequence[Example] | Sequence[TaggedExample], name: str = "set") -> Dataset:
    task: Task = (
        "token-classification"
        if examples and isinstance(examples[0], TaggedExample)
        else "text-classification"
    )
    return Dataset(
        path=Path(f"{name}.jsonl"),
        task=task,
        examples=examples,
        sha256=str(hash(tuple(examples))),
        format="jsonl",
        encoding="utf-8",
        columns={},
        inferred=False,
    )


def texts(count: int, seed: int) -> Dataset:
    """Texts whose label is that of the one key word among fillers."""
    chance = random.Random(seed)
    examples = []
    for row in range(count):
        label = list(KEYS)[row % len(KEYS)]
        words = chance.choices(FILLERS, k=chance.randint(1, 9))
        words.insert(chance.randint(0, len(words)), chance.choice(KEYS[label]))
        examples.append(Example(row + 1, " ".join(words), label))
    return dataset(examples, f"texts{seed}")


def sentences(count: int, seed: int) -> Dataset:
    """Sentences with a person or a place, some of two words, tagged in BIO."""
    chance = random.Random(seed)
    examples = []
    for row in range(count):
        kind = chance.choice(list(NAMES))
        tokens = chance.choices(FILLERS, k=chance.randint(1, 6))
        tags = ["O"] * len(tokens)
        place = chance.randint(0, len(tokens))
        name = chance.choice(NAMES[kind])
        tokens[place:place] = name
        tags[place:place] = [f"B-{kind}", f"I-{kind}"][: len(name)]
        examples.append(TaggedExample(row + 1, tuple(tokens), tuple(tags)))
    return dataset(examples, f"sentences{seed}")
