"""Distillation of an encoder that has no task yet: what it says of texts is its vector for each."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, PairExample
from freehold.train import checkpoint, hardware
from freehold.train.checkpoint import Meta
from freehold.train.distil.distil import Distilled, distil
from freehold.train.encoders import OUR_PREFIX, EncoderFiles, load_encoder, longest_input
from freehold.train.predict import logits
from freehold.train.recipe import Recipe

__all__ = ["LEAST", "distil_encoder"]

TASK = "sentence-embedding"
LEAST = 16  # texts; below that there is nothing to look at it with
KEPT_ASIDE = 10  # one pair in so many, at least four, at most a thousand of them


def distil_encoder(
    teacher: EncoderFiles, corpus: Dataset, recipe: Recipe, out: Path, **options: Any
) -> Distilled:
    """Train a student whose vectors of the corpus's texts are those of `teacher` (the mean over
    the tokens, at length 1). The student is a model of sentence embeddings, and a base.

    The texts are taken two by two; a tenth of the pairs is kept aside. How alike the teacher finds
    them is what the score is against: Spearman's correlation of its cosines and the student's.
    `options` are those of `distil`. Raises TrainError for a corpus of fewer than 16 texts, and as
    `distil` does.
    """
    texts = [(example.row, example.text) for example in corpus.examples]
    if len(texts) < LEAST:
        raise TrainError(
            f"{corpus.path} has {len(texts)} texts; an encoder is distilled from {LEAST} or more.",
            hint="Give more texts with --corpus.",
        )
    order = np.random.default_rng([recipe.seed, len(texts)]).permutation(len(texts)).tolist()
    chosen = [texts[number] for number in order]
    pairs = [
        PairExample(row, text, other)
        for (row, text), (_, other) in zip(chosen[::2], chosen[1::2], strict=False)
    ]
    own = out.with_name(f".{out.name}.teacher")
    try:
        _as_model(teacher, own, recipe)
        with hardware.settled(recipe.threads, recipe.seed):
            scored = _scored(own, pairs)
        aside = max(4, min(1000, len(scored) // KEPT_ASIDE))
        train, dev = (
            replace(corpus, task=TASK, examples=some) for some in (scored[aside:], scored[:aside])
        )
        return distil(own, train, dev, recipe, out, **{"name": teacher.name, **options})
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _as_model(teacher: EncoderFiles, folder: Path, recipe: Recipe) -> None:
    """Write the encoder as a checkpoint of sentence embeddings, whose head has no weights."""
    weights = load_encoder(teacher, attention="eager").state_dict()
    meta = Meta(
        task=TASK,
        labels=(),
        max_length=min(recipe.max_length, longest_input(teacher)),
        base=teacher.name,
        base_sha256=teacher.sha256,
        score_name="spearman",
        score=0.0,
        epoch=0,
        recipe={},
    )
    ours = {f"{OUR_PREFIX}{name}": weight.contiguous() for name, weight in weights.items()}
    checkpoint.save(folder, ours, teacher.folder, meta)


def _scored(folder: Path, pairs: Sequence[PairExample]) -> list[PairExample]:
    """The pairs with the teacher's cosines."""
    vectors = logits(folder, pairs)
    return [
        replace(pair, score=float(both[0] @ both[1]))
        for pair, both in zip(pairs, vectors, strict=True)
    ]
