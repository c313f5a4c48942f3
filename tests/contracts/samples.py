"""For each task some records that a tiny random encoder learns in seconds, and what is enough.

A task that has no entry here fails the suite: it is added with one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KEYS = {
    "lost": ("lost", "missing", "gone"),
    "refund": ("refund", "money", "back"),
    "repair": ("broken", "repair", "flat"),
    "price": ("price", "cost", "much"),
}
FILLERS = ("please", "my", "the", "bike", "today", "hello", "again", "now")
NAMES = ("anna", "omar", "lena", "paris", "lima")
WORDS = [*FILLERS, *NAMES, "who", *(word for words in KEYS.values() for word in words)]

Record = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    record: Callable[[random.Random, int], Record]
    bar: float  # what the dev score has to reach; chance is well below
    inputs: Callable[[Record], Any]  # of a request
    epochs: int = 8
    knobs: tuple[str, ...] = ()
    unlabelled: Callable[[Record], Record] = field(
        default=lambda row: {k: v for k, v in row.items() if k not in TARGETS}
    )

    def records(self, count: int, seed: int) -> list[Record]:
        chance = random.Random(seed)
        return [self.record(chance, number) for number in range(count)]


TARGETS = ("label", "labels", "tags", "score", "answers")


def _words(chance: random.Random, extra: list[str], most: int = 7) -> list[str]:
    words = chance.choices(FILLERS, k=chance.randint(1, most)) + extra
    chance.shuffle(words)
    return words


def _text(chance: random.Random, extra: list[str], most: int = 7) -> str:
    return " ".join(_words(chance, extra, most))


def _key(chance: random.Random, label: str) -> str:
    return chance.choice(KEYS[label])


def _classified(chance: random.Random, number: int) -> Record:
    label = list(KEYS)[number % len(KEYS)]
    return {"text": _text(chance, [_key(chance, label)]), "label": label}


def _multi(chance: random.Random, number: int) -> Record:
    labels = sorted(label for label in KEYS if chance.random() < 0.4)
    return {"text": _text(chance, [_key(chance, label) for label in labels]), "labels": labels}


def _tagged(chance: random.Random, number: int) -> Record:
    # Some are longer than a window of the tiny encoder.
    most = 90 if number % 8 == 0 else 7
    words = _words(chance, [chance.choice(NAMES)], most)
    tags = ["B-NAME" if word in NAMES else "O" for word in words]
    return {"tokens": words, "tags": tags}


def _scored(chance: random.Random, number: int) -> Record:
    count = number % 4
    return {"text": _text(chance, ["price"] * count, 5), "score": 10.0 + 5 * count}


def _pair(chance: random.Random, number: int) -> tuple[str, str, bool]:
    first = number % 2 == 0
    key = [_key(chance, "lost")]
    texts = (_text(chance, key if first else [], 4), _text(chance, [] if first else key, 4))
    return *texts, first


def _pair_classified(chance: random.Random, number: int) -> Record:
    a, b, first = _pair(chance, number)
    return {"text_a": a, "text_b": b, "label": "first" if first else "second"}


def _pair_scored(chance: random.Random, number: int) -> Record:
    count = number % 4
    return {
        "text_a": _text(chance, [], 4),
        "text_b": _text(chance, ["price"] * count, 3),
        "score": float(count),
    }


def _question(chance: random.Random, number: int) -> Record:
    there = number % 4 != 0
    most = 90 if number % 6 == 1 else 8
    words = _words(chance, [], most)
    place = chance.randint(0, len(words))
    answers = []
    if there:
        words.insert(place, chance.choice(NAMES))
        start = len(" ".join(words[:place])) + (place > 0)
        answers = [{"text": words[place], "start": start}]
    return {"question": "who", "context": " ".join(words), "answers": answers}


def _alike(chance: random.Random, number: int) -> Record:
    a, b = chance.choice(list(KEYS)), chance.choice(list(KEYS))
    b = a if number % 2 == 0 else b
    return {
        "text_a": _text(chance, [_key(chance, a)], 3),
        "text_b": _text(chance, [_key(chance, b)], 3),
        "score": 5.0 if a == b else 1.0,
    }


def _as_pair(row: Record) -> Any:
    return {"text": row["text_a"], "text_pair": row["text_b"]}


SAMPLES = {
    "text-classification": Sample(_classified, 0.9, lambda row: row["text"]),
    "multi-label-classification": Sample(_multi, 0.8, lambda row: row["text"]),
    "token-classification": Sample(_tagged, 0.9, lambda row: " ".join(row["tokens"])),
    "regression": Sample(_scored, 0.8, lambda row: row["text"]),
    "pair-classification": Sample(_pair_classified, 0.9, _as_pair, epochs=12),
    "pair-scoring": Sample(_pair_scored, 0.8, _as_pair),
    "question-answering": Sample(
        _question,
        0.8,
        lambda row: {"question": row["question"], "context": row["context"]},
        epochs=12,
    ),
    "sentence-embedding": Sample(
        _alike,
        0.5,
        lambda row: row["text_a"],
        epochs=10,
        unlabelled=lambda row: {"text": row["text_a"]},
    ),
}
