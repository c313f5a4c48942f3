"""Copies of the training texts with typing slips and synonyms, made by what attacks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from freehold.data.perturb.lexicon import Lexicon, shipped
from freehold.data.perturb.moves import perturbed
from freehold.errors import TrainError
from freehold.tasks.types import (
    Dataset,
    Example,
    LabelsExample,
    PairExample,
    ScoredExample,
    TaggedExample,
)

__all__ = ["augmented", "copied"]

STRENGTH = (0.2, 0.8)  # share of the words that are changed in a copy, drawn anew for each
STREAM = 7_919  # keeps the draws of copies apart from all others that a seed starts


def augmented(train: Dataset, copies: float, seed: int) -> Dataset:
    """`train` with so many changed copies of each example behind it (0.5: of every second one, as
    drawn), each with its label or its tags. The same data and seed give the same copies.

    Raises TrainError for questions, whose answers stand at a place in the text.
    """
    if not copies:
        return train
    chance = np.random.default_rng([seed, STREAM])
    lexicon = shipped()
    made: list[Any] = []
    for turn in range(int(np.ceil(copies))):
        left = min(1.0, copies - turn)
        drawn = np.sort(chance.permutation(len(train))[: round(left * len(train))])
        made += [_copy(train.examples[number], lexicon, chance) for number in drawn.tolist()]
    examples: Sequence[Any] = [*train.examples, *made]
    return replace(train, examples=examples)


def copied(examples: Sequence[Any], seed: int, turn: int) -> list[Any]:
    """One changed copy of every example, in their order; another for each `turn`."""
    chance = np.random.default_rng([seed, STREAM, 1 + turn])
    lexicon = shipped()
    return [_copy(example, lexicon, chance) for example in examples]


def _copy(example: object, lexicon: Lexicon, chance: np.random.Generator) -> object:
    share = chance.uniform(*STRENGTH)
    match example:
        case Example(text=text) | LabelsExample(text=text) | ScoredExample(text=text):
            return replace(example, text=perturbed(text, lexicon, chance, share=share))
        case PairExample():
            first, second = (
                perturbed(text, lexicon, chance, share=share)
                for text in (example.text_a, example.text_b)
            )
            return replace(example, text_a=first, text_b=second)
        case TaggedExample():
            changed = [
                perturbed(word, lexicon, chance, share=1.0) if chance.random() < share else word
                for word in example.tokens
            ]
            return replace(example, tokens=tuple(changed))
    raise TrainError(
        "Copies for augment are made of texts, of pairs and of tagged words; answers to questions "
        "would no longer stand where they are said to.",
        hint="Set augment to 0.",
    )
