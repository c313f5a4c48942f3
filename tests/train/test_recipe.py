"""The recipe: what it refuses, what it chooses, what it records."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from freehold.errors import TrainError
from freehold.train.recipe import Recipe


def test_a_recipe_survives_the_record() -> None:
    recipe = Recipe(epochs=4, learning_rate=1e-4, class_weights="balanced", threads=2)
    assert Recipe.from_document(json.loads(json.dumps(recipe.document()))) == recipe


def test_an_unknown_knob_is_named() -> None:
    with pytest.raises(TrainError, match="no 'epoch'"):
        Recipe.from_document({"epoch": 3})


@pytest.mark.parametrize(
    "knob",
    [
        {"epochs": 0},
        {"learning_rate": -1.0},
        {"learning_rate": float("nan")},
        {"batch_tokens": 0},
        {"max_length": 3},
        {"warmup": 1.0},
        {"dropout": -0.1},
        {"encoder_dropout": 1.5},
        {"label_smoothing": 1.0},
        {"layer_decay": 0.0},
        {"layer_decay": 1.5},
        {"freeze_layers": -1},
        {"lora_rank": -1},
        {"lora_scale": 0.0},
        {"lora_modules": "ffn"},
        {"weight_decay": -1.0},
        {"clip_norm": float("inf")},
        {"patience": 0},
        {"threads": 0},
        {"class_weights": "sqrt"},
        {"precision": "fp16"},
    ],
)
def test_a_knob_out_of_range_is_named(knob: dict[str, Any]) -> None:
    (name,) = knob
    with pytest.raises(TrainError, match=name):
        Recipe(**knob)


@pytest.mark.parametrize("task", ["text-classification", "token-classification"])
def test_what_is_left_open_is_chosen_by_task_and_size(task: Any) -> None:
    small, large = Recipe().resolved(task, 5_000), Recipe().resolved(task, 500_000)
    for chosen in (small, large):
        assert None not in (chosen.epochs, chosen.learning_rate, chosen.batch_tokens)
    assert small.epochs > large.epochs  # type: ignore[operator] # not None, as said above
    assert small.batch_tokens < large.batch_tokens  # type: ignore[operator] # likewise


def test_what_is_given_is_kept() -> None:
    given = Recipe(epochs=2, learning_rate=1e-5, batch_tokens=64)
    assert given.resolved("text-classification", 100) == given


def test_every_knob_says_what_it_is() -> None:
    assert all(field.metadata.get("help") for field in dataclasses.fields(Recipe))


def test_the_recipe_and_the_progress_come_without_torch() -> None:
    code = (
        "import sys, freehold.train.recipe, freehold.train.progress\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
