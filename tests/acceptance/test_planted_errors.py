"""What `freehold data review` promises: planted label errors of a public set are found."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from freehold.data.read import read_dataset
from freehold.evaluate.review.suspects import find_suspects
from freehold.tasks.types import Example
from freehold.train.encoders import find


@pytest.mark.shared
def test_errors_planted_in_banking77_are_found(shared: Path) -> None:
    """3 % of its labels changed to another; docs/review.md has the figures."""
    whole = read_dataset(shared / "data" / "banking77" / "train.jsonl")
    examples = [example for example in whole.examples if isinstance(example, Example)]
    labels = whole.labels()
    chance = random.Random(0)
    wrong = set(chance.sample(range(len(examples)), round(0.03 * len(examples))))
    for n in wrong:
        other = chance.choice([label for label in labels if label != examples[n].label])
        examples[n] = replace(examples[n], label=other)
    found = find_suspects(replace(whole, examples=examples), find("minilm"), max_length=64)
    rows = {examples[n].row for n in wrong}
    hits = sum(suspect.row in rows for suspect in found.found)
    print(f"planted {len(rows)}, listed {len(found.found)}, of them planted {hits}")
    assert hits / len(rows) >= 0.9
    assert hits / len(found.found) >= 0.75
