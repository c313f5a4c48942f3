"""Casing for encoders that read lower case only: each word's shape as a segment number.

BERT and its kin add a vector to each token for the segment it is of; tasks over words have one
segment only, so its table is free to say how each word is written. The first row stays what it was,
so that what has no capitals is read as before; the others start near it and are learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from freehold.errors import TrainError
from freehold.tasks.casing import SHAPES
from freehold.train.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from freehold.tasks.base import Task
    from freehold.train.encoders import EncoderFiles

__all__ = ["MARK", "config_with_casing", "folds_case", "learns_shapes", "marks_case", "widen"]

MARK = "freehold_casing"  # in config.json: the segment table's rows are shapes of words
SPREAD = 0.02  # BERT's own initial spread
_PROBE = "Rome"


def marks_case(recipe: Recipe, task: Task, files: EncoderFiles, tokenizer: Tokenizer) -> bool:
    """Whether words' shapes are given to the encoder: by default where the task is about words, the
    tokenizer folds case and the encoder has a table for segments that can learn.

    Raises TrainError where the recipe asks for it and it cannot be.
    """
    if recipe.casing == "off":
        return False
    possible = task.head == "tags" and bool(files.config().get("type_vocab_size"))
    if recipe.casing == "on" and not possible:
        why = "is not about words" if task.head != "tags" else "has an encoder without segments"
        raise TrainError(
            f"casing is on, but {task.kind} {why}.",
            hint="Leave casing at auto; it is for token classification with BERT and its kin.",
        )
    # With frozen layers nothing below them learns, and these rows have to be learnt. Where they
    # were learnt before, they are read as they were.
    learns = recipe.freeze_layers == 0 or bool(files.config().get(MARK))
    if recipe.casing == "on" and not learns:
        raise TrainError(
            "casing is on, but freeze_layers keeps what it adds to the embeddings from learning.",
            hint="Leave out one of them.",
        )
    if recipe.casing == "on":
        return possible
    return possible and learns and folds_case(tokenizer)


def folds_case(tokenizer: Tokenizer) -> bool:
    """Whether it reads capitals as small letters."""
    return bool(tokenizer.encode(_PROBE).ids == tokenizer.encode(_PROBE.lower()).ids)


def learns_shapes(encoder: torch.nn.Module) -> None:
    """Have the rows learn where the rest of the encoder does not (LoRA)."""
    cast(Any, encoder).embeddings.token_type_embeddings.weight.requires_grad_(True)


def widen(encoder: torch.nn.Module, files: EncoderFiles) -> None:
    """Give the encoder a row a shape, unless it has them from an earlier training.

    Raises TrainError for an encoder whose table of segments is not where BERT has it.
    """
    if files.config().get(MARK):
        return
    try:
        embeddings = cast(Any, encoder).embeddings
        table: torch.Tensor = embeddings.token_type_embeddings.weight.detach()
    except AttributeError:
        raise TrainError(
            f"The encoder {files.name} keeps its segments where Freehold does not look for them.",
            hint="Turn it off: --casing off.",
        ) from None
    rows = table[:1].repeat(SHAPES, 1)
    rows[1:] += torch.randn(SHAPES - 1, table.shape[1]) * SPREAD
    embeddings.token_type_embeddings = torch.nn.Embedding(SHAPES, table.shape[1], _weight=rows)
    config = cast(Any, encoder).config
    config.type_vocab_size = SHAPES


def config_with_casing(config: dict[str, Any]) -> dict[str, Any]:
    """config.json of an encoder that was widened."""
    return {**config, "type_vocab_size": SHAPES, MARK: True}
