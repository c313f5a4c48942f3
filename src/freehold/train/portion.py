"""Which part of a model learns, and how fast: frozen layers, rates by depth, low-rank updates."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, cast

import torch

from freehold.errors import MissingDependencyError, TrainError
from freehold.train.distil.layers import name_of_layers
from freehold.train.recipe import LoraModules, Recipe

__all__ = ["depths", "freeze", "inject", "merged"]

_ENCODER = "encoder."  # where a task's module has its encoder
_BASE, _DOWN, _UP = ".base_layer.", ".lora_A.default.", ".lora_B.default."  # peft's names


def depths(module: torch.nn.Module) -> tuple[dict[str, int], int]:
    """The depth of each parameter by its name, and the number n of the encoder's layers.

    0 is what stands before the layers (the embeddings), 1 .. n are the layers, n + 1 is what comes
    after them, the head included. Raises TrainError for an encoder without one list of layers.
    """
    encoder = cast(Any, module).encoder
    try:
        listed = name_of_layers(encoder)
    except (TrainError, AttributeError) as error:  # a table of words has no number of layers
        raise TrainError(
            f"The encoder ({type(encoder).__name__}) is not one list of layers, so freeze_layers, "
            "layer_decay and lora_rank have nothing to go by.",
            hint="Leave them out, or take BERT or one of its kin.",
        ) from error
    prefix = f"{_ENCODER}{listed}."
    layers = len(encoder.get_submodule(listed))
    found: dict[str, int] = {}
    before = True
    for name, _ in module.named_parameters():
        if name.startswith(prefix):
            before = False
            found[name] = 1 + int(name[len(prefix) :].partition(".")[0])
        else:
            found[name] = 0 if before and name.startswith(_ENCODER) else layers + 1
    return found, layers


def freeze(module: torch.nn.Module, layers: int) -> None:
    """The embeddings and the first `layers` layers learn nothing; no gradient is computed for
    them. Raises TrainError where the encoder has fewer."""
    found, have = depths(module)
    if layers > have:
        raise TrainError(
            f"freeze_layers is {layers}, but the encoder has {have} layers.",
            hint=f"Give at most {have}.",
        )
    for name, parameter in module.named_parameters():
        if found[name] <= layers:
            parameter.requires_grad_(False)


def inject(module: torch.nn.Module, recipe: Recipe) -> None:
    """Low-rank updates beside the linear layers of the encoder's layers, by peft; all else of the
    encoder is frozen (Hu et al. 2021, "LoRA"). The head learns as ever.

    Raises TrainError where the encoder has no such layers, MissingDependencyError without peft.
    """
    try:
        with warnings.catch_warnings():  # of libraries that peft looks for and does not need
            warnings.simplefilter("ignore")
            from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingDependencyError("peft", "train", "Training with LoRA") from error
    depths(module)  # refuses an encoder without layers
    encoder = cast(Any, module).encoder
    chosen = _linears(encoder, recipe.lora_modules)
    alpha: Any = recipe.lora_scale * recipe.lora_rank  # peft says int, and divides by the rank
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=chosen,
    )
    # Freezes what it does not add; the head is outside of the encoder.
    inject_adapter_in_model(config, encoder)


def merged(weights: Mapping[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    """A state with `inject`'s updates added to the matrices they stand beside, W + scale x B A,
    under the names of a module without them."""
    plain: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if _DOWN in name or _UP in name:
            continue
        if _BASE not in name:
            plain[name] = weight
            continue
        owner, _, kind = name.partition(_BASE)
        if kind == "weight":
            down, up = weights[f"{owner}{_DOWN}weight"], weights[f"{owner}{_UP}weight"]
            weight = weight + scale * (up @ down)  # noqa: PLW2901 - the same matrix, learnt on
        plain[f"{owner}.{kind}"] = weight
    return plain


def _linears(encoder: torch.nn.Module, modules: LoraModules) -> list[str]:
    """The names of the linear layers of the encoder's layers: all, or attention's."""
    prefix = f"{name_of_layers(encoder)}."
    found = [
        name
        for name, part in encoder.named_modules()
        if isinstance(part, torch.nn.Linear)
        and name.startswith(prefix)
        and (modules == "all" or "att" in name.removeprefix(prefix))
    ]
    if not found:
        raise TrainError(
            f"The encoder ({type(encoder).__name__}) has no linear layers for lora_modules = "
            f"{modules}.",
            hint="Try lora_modules = all, or leave out lora_rank.",
        )
    return found
