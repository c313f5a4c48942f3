"""What of a model learns: frozen layers, rates by depth, LoRA merged into the checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.encoders import find
from freehold.train.finetune import fit
from freehold.train.optimizer import decaying
from freehold.train.portion import merged
from freehold.train.predict import logits
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare

KNOBS: list[dict[str, Any]] = [
    {"freeze_layers": 1},
    {"layer_decay": 0.7},
    {"lora_rank": 4},
    {"lora_rank": 4, "layer_decay": 0.8, "lora_modules": "attention"},
    {"freeze_layers": 1, "layer_decay": 0.8, "adversarial": "fgm"},
]


@pytest.fixture
def prepared(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> Callable[..., Run]:
    """A run with other knobs, before its first step."""

    def make(**knobs: Any) -> Run:
        chosen = dataclasses.replace(recipe, **knobs)
        machine = hardware.choose("fp32")
        return prepare(
            train_texts, dev_texts, chosen, machine, find(chosen.base), tmp_path / "model"
        )

    return make


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked, None) is None or False


@pytest.mark.parametrize("knobs", KNOBS)
def test_a_run_learns_is_ordinary_and_goes_on_after_a_stop(
    knobs: dict[str, Any],
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    encoder: Path,
    tmp_path: Path,
) -> None:
    chosen = dataclasses.replace(recipe, epochs=5, learning_rate=1e-2, **knobs)
    whole = fit(train_texts, dev_texts, chosen, tmp_path / "whole")
    assert whole.score > 0.4  # four labels, so chance is 0.25
    out = tmp_path / "parts"
    stopped = fit(train_texts, dev_texts, chosen, out, should_stop=stop_after(40))
    assert stopped.interrupted
    fit(train_texts, dev_texts, chosen, out, resume=True)
    one, other = (load_file(path / "model.safetensors") for path in (whole.path, out))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    # An ordinary checkpoint: the encoder's own names, answering as the run did.
    pretrained = {f"encoder.{name}" for name in load_file(encoder / "model.safetensors")}
    assert {name for name in one if name.startswith("encoder.")} <= pretrained
    assert whole.dev_logits is not None
    for mine, loaded in zip(whole.dev_logits, logits(out, dev_texts.examples), strict=True):
        np.testing.assert_allclose(mine, loaded, atol=1e-4)


def test_frozen_layers_stay_and_get_no_gradient(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, encoder: Path, tmp_path: Path
) -> None:
    chosen = dataclasses.replace(recipe, epochs=1, freeze_layers=1)
    fit(train_texts, dev_texts, chosen, tmp_path / "model")
    before = load_file(encoder / "model.safetensors")
    after = load_file(tmp_path / "model" / "model.safetensors")
    for name, was in before.items():
        if name.startswith(("embeddings.", "encoder.layer.0.")):
            np.testing.assert_array_equal(after[f"encoder.{name}"], was)
    moved = "encoder.layer.1.output.dense.weight"
    assert not np.array_equal(after[f"encoder.{moved}"], before[moved])


def test_frozen_parameters_are_none_of_the_optimizer(prepared: Callable[..., Run]) -> None:
    run = prepared(freeze_layers=2)
    learning = {id(p) for group in run.optimizer.param_groups for p in group["params"]}
    names = {n for n, p in run.job.module.named_parameters() if id(p) in learning}
    assert names == {"head.weight", "head.bias"}


def test_rates_fall_with_depth(prepared: Callable[..., Run]) -> None:
    run = prepared(layer_decay=0.5)
    scale = {id(p): g["scale"] for g in run.optimizer.param_groups for p in g["params"]}
    rates = {name: scale[id(p)] for name, p in run.job.module.named_parameters()}
    assert rates["head.weight"] == 1
    assert rates["encoder.encoder.layer.1.output.dense.bias"] == 0.5
    assert rates["encoder.encoder.layer.0.output.dense.bias"] == 0.25
    assert rates["encoder.embeddings.word_embeddings.weight"] == 0.125


def test_decaying_by_hand() -> None:
    assert decaying({"low": 0, "mid": 1, "top": 3}, 0.5) == {"low": 0.125, "mid": 0.25, "top": 1.0}


def test_lora_trains_its_updates_and_the_head_alone(prepared: Callable[..., Run]) -> None:
    module = prepared(lora_rank=3).job.module
    learning = [name for name, p in module.named_parameters() if p.requires_grad]
    assert {"head.weight", "head.bias"} < set(learning)
    assert all(".lora_" in name or name.startswith("head.") for name in learning)
    # Two matrices beside each of the six linear layers of both layers.
    assert sum(".lora_" in name for name in learning) == 2 * 6 * 2


def test_attention_alone_can_be_updated(prepared: Callable[..., Run]) -> None:
    module = prepared(lora_rank=3, lora_modules="attention").job.module
    updated = {name for name, p in module.named_parameters() if ".lora_" in name}
    assert len(updated) == 2 * 4 * 2
    assert all(".attention." in name for name in updated)


def test_updates_are_merged_by_hand() -> None:
    weights = {
        "encoder.a.base_layer.weight": torch.eye(2),
        "encoder.a.base_layer.bias": torch.ones(2),
        "encoder.a.lora_A.default.weight": torch.tensor([[1.0, 2.0]]),
        "encoder.a.lora_B.default.weight": torch.tensor([[3.0], [0.0]]),
        "head.bias": torch.zeros(1),
    }
    plain = merged(weights, 2.0)
    assert sorted(plain) == ["encoder.a.bias", "encoder.a.weight", "head.bias"]
    torch.testing.assert_close(plain["encoder.a.weight"], torch.tensor([[7.0, 12.0], [0.0, 1.0]]))


def test_more_frozen_layers_than_there_are(prepared: Callable[..., Run]) -> None:
    with pytest.raises(TrainError, match="freeze_layers is 3, but the encoder has 2 layers"):
        prepared(freeze_layers=3)


def test_an_encoder_without_layers_is_told() -> None:
    from freehold.train.portion import depths

    class Table(torch.nn.Module):
        config = object()

    module = torch.nn.Module()
    module.encoder = Table()
    with pytest.raises(TrainError, match="not one list of layers"):
        depths(module)


def test_lora_and_frozen_layers_exclude_each_other() -> None:
    with pytest.raises(TrainError, match="freeze_layers has nothing to do"):
        Recipe(lora_rank=4, freeze_layers=2)


def test_lora_learns_faster_by_default() -> None:
    full = Recipe().resolved("text-classification", 10_000).learning_rate
    lora = Recipe(lora_rank=8).resolved("text-classification", 10_000).learning_rate
    assert full is not None
    assert lora == pytest.approx(5 * full)
