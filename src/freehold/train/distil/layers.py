"""The layers of an encoder: where they are, which a student keeps, and what comes out of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from freehold.errors import TrainError

__all__ = ["config_with", "count_of", "evenly", "kept_layers", "name_of_layers", "tapped"]

# What the config.json of one kind of encoder or another calls the number of its layers.
COUNTS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer")


def evenly(layers: int, wanted: int) -> tuple[int, ...]:
    """`wanted` of the layers 0 .. layers-1, evenly spaced, the last one among them.

    Of 6 layers 3 are (1, 3, 5): each stands for the pair that it ends. (Sun et al. 2019, PKD-skip,
    and Sanh et al. 2019 space them alike.) Raises TrainError for none, or more than there are.
    """
    if not 1 <= wanted <= layers:
        raise TrainError(
            f"A student of {wanted} layers was asked for, but the teacher has {layers}.",
            hint=f"Ask for 1 to {layers} layers.",
        )
    return tuple((place + 1) * layers // wanted - 1 for place in range(wanted))


def kept_layers(layers: int, kept: Sequence[int]) -> tuple[int, ...]:
    """The layers that a person named, checked: in order, each once, all of them there."""
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= layers:
        named = ", ".join(map(str, kept))
        raise TrainError(
            f"The layers {named} cannot be kept of a teacher that has {layers}.",
            hint=f"Name some of 0 to {layers - 1}, each once, in order.",
        )
    return tuple(kept)


def count_of(config: Mapping[str, Any]) -> int:
    """The number of layers that a config.json states. Raises TrainError where it has none."""
    for name in COUNTS:
        if name in config:
            return int(config[name])
    raise TrainError(
        "The teacher's encoder has no layers that a student could keep some of.",
        hint="Take a transformer as teacher; a small student of any is --student static.",
    )


def config_with(config: Mapping[str, Any], kept: Sequence[int]) -> dict[str, Any]:
    """The same config.json for the layers `kept`; lists with an entry a layer (the kinds of
    attention of ModernBERT, for one) keep theirs."""
    layers = count_of(config)
    chosen = dict(config)
    for name, value in config.items():
        if name in COUNTS:
            chosen[name] = len(kept)
        elif isinstance(value, list) and len(value) == layers:
            chosen[name] = [value[number] for number in kept]
    return chosen


def name_of_layers(encoder: torch.nn.Module) -> str:
    """The name of the module list that holds the encoder's layers, `encoder.layer` in BERT.

    It is the one list of as many modules as the config has layers. Raises TrainError where there
    is none (ALBERT has one layer, run many times) or more than one.
    """
    config: Any = encoder.config
    layers = int(config.num_hidden_layers)  # transformers' name, whatever config.json calls it
    names: list[str] = [
        name
        for name, part in encoder.named_modules()
        if isinstance(part, torch.nn.ModuleList) and len(part) == layers
    ]
    outer = [name for name in names if not any(name.startswith(f"{other}.") for other in names)]
    if len(outer) != 1:
        raise TrainError(
            f"The {layers} layers of the teacher's encoder ({type(encoder).__name__}) are not one "
            "list, so that none can be left out.",
            hint="Take BERT or one of its kin as teacher; a small student of any is "
            "--student static.",
        )
    return outer[0]


@contextmanager
def tapped(encoder: torch.nn.Module, numbers: Sequence[int]) -> Iterator[list[torch.Tensor]]:
    """Within the block, a pass through the encoder leaves what the layers `numbers` put out, each
    (batch, tokens, width), in the list: in their order, after what an earlier pass left."""
    layers: Any = encoder.get_submodule(name_of_layers(encoder)) if numbers else ()
    found: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, given: Any, out: Any) -> None:
        found.append(out[0] if isinstance(out, tuple) else out)

    hooks = [layers[number].register_forward_hook(keep) for number in numbers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
