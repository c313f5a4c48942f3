"""Checkpoints with random heads, and texts to ask them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from freehold.tasks.bio import best_tags
from freehold.tasks.types import Dataset, Example, TaggedExample, Task

LABELS = ("greeting", "refund", "ride", "price")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = ("hello", "bicycle", "money", "back", "where", "station", "price", "lock", "Anna", "Rome")


def write_checkpoint(
    base: Path | str, folder: Path, task: str, labels: Sequence[str], *, max_length: int = 64
) -> Path:
    """A checkpoint as training leaves it, with a head of random weights wide enough to decide."""
    import torch

    from freehold.train import checkpoint
    from freehold.train.adapter import adapter_of
    from freehold.train.encoders import find, load_encoder

    torch.manual_seed(1)
    files = find(str(base))
    module = adapter_of(task).module(load_encoder(files, attention="eager"), len(labels), 0.0)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if name == "head.weight":
                weight.normal_(0.0, 1.0)
    meta = checkpoint.Meta(
        task, tuple(labels), max_length, str(base), files.sha256, "accuracy", 0.0, 1, {}
    )
    checkpoint.save(folder, module.state_dict(), files.folder, meta)
    return folder


def sentences(count: int, *, most: int = 12, seed: int = 0) -> list[list[str]]:
    chance = random.Random(seed)
    return [chance.choices(WORDS, k=chance.randint(1, most)) for _ in range(count)]


def dataset(task: Task, examples: Sequence[Example] | Sequence[TaggedExample]) -> Dataset:
    return Dataset(Path("dev.jsonl"), task, examples, "0" * 64, "jsonl", "utf-8", {}, False)


def labelled(checkpoint: Path, task: Task, count: int = 200) -> Dataset:
    """Random texts whose gold labels are what torch says of them, so that its score is 1."""
    from freehold.train.predict import logits

    words = sentences(count)
    if task == "text-classification":
        texts = [Example(row, " ".join(some)) for row, some in enumerate(words, 1)]
        answers = logits(checkpoint, texts)
        return dataset(
            task,
            [
                Example(text.row, text.text, LABELS[int(row.argmax())])
                for text, row in zip(texts, answers, strict=True)
            ],
        )
    tagged = [TaggedExample(row, tuple(some)) for row, some in enumerate(words, 1)]
    rows = logits(checkpoint, tagged)
    return dataset(
        task,
        [
            TaggedExample(text.row, text.tokens, tuple(TAGS[n] for n in best_tags(row, TAGS)))
            for text, row in zip(tagged, rows, strict=True)
        ],
    )
