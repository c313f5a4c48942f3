"""One file -> a part to learn from and a part to score on: stratified, seeded, twins together."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freehold.data.duplicates import normalise
from freehold.errors import DataError
from freehold.store.files import write_text
from freehold.tasks.types import AnyExample, Dataset, Example, TaggedExample

__all__ = ["DEV_SHARE", "divide", "write_examples"]

DEV_SHARE = 0.2


def divide(
    data: Dataset, *, share: float = DEV_SHARE, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Numbers of the examples of train and of dev, ascending.

    Each label gives `share` of its examples to dev, to the nearest whole, and keeps at least one
    for train. Texts that are the same but for case, width and spaces stay on one side, so that dev
    holds nothing that was learnt. Raises DataError where nothing is left for dev.
    """
    strata: dict[str, dict[str, list[int]]] = {}
    home: dict[str, str] = {}  # a text with two labels stays with the first
    for number, example in enumerate(data.examples):
        text = normalise(example.text)
        label = (example.label or "") if isinstance(example, Example) else ""
        strata.setdefault(home.setdefault(text, label), {}).setdefault(text, []).append(number)
    chance = random.Random(f"divide {seed}")  # noqa: S311 - a split, not a secret
    dev: set[int] = set()
    for label in sorted(strata):
        groups = list(strata[label].values())
        chance.shuffle(groups)
        wanted = round(share * sum(map(len, groups)))
        taken = 0
        for group in groups[1:]:
            if taken + len(group) / 2 > wanted:
                break
            dev.update(group)
            taken += len(group)
    if not dev:
        raise DataError(
            f"{data.path} is too small to keep a part aside ({len(data)} examples).",
            hint="Add examples, or give a dev file.",
        )
    return [n for n in range(len(data)) if n not in dev], sorted(dev)


def write_examples(path: Path, examples: Sequence[AnyExample]) -> None:
    """JSON Lines under the names that are always recognised: text and label, or tokens and tags."""
    lines = []
    for example in examples:
        row: dict[str, Any]
        if isinstance(example, TaggedExample):
            row = {"tokens": example.input, "tags": example.lined_tags}
        else:
            row = {"text": example.text, "label": example.target}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))
