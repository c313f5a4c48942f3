"""A student that starts as some of its teacher's layers, as a folder that a run starts from."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from freehold.errors import TrainError
from freehold.store.files import replacing, write_text
from freehold.train.distil.layers import config_with, count_of, name_of_layers
from freehold.train.encoders import (
    WEIGHTS,
    EncoderFiles,
    build_encoder,
    find,
    load_encoder,
)

__all__ = ["layers_of", "write_student"]


def layers_of(teacher: EncoderFiles) -> int:
    """How many layers the teacher's encoder has. Raises TrainError where it has none."""
    return count_of(teacher.config())


def write_student(teacher: EncoderFiles, kept: Sequence[int], folder: Path) -> EncoderFiles:
    """Write an encoder of the teacher's embeddings and its layers `kept`, in their order.

    The folder is an encoder like any other: config.json for so many layers, the teacher's
    tokenizer, model.safetensors. Raises TrainError where the encoder cannot be cut.
    """
    from safetensors.torch import save_file

    whole = load_encoder(teacher, attention="eager")
    name = name_of_layers(whole)
    weights = _chosen(whole.state_dict(), name, kept)
    config = config_with(teacher.config(), kept)
    _require_fit(build_encoder(config), weights)
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        if (teacher.folder / file).exists():
            shutil.copyfile(teacher.folder / file, folder / file)
    write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    with replacing(folder / WEIGHTS) as beside:
        save_file(weights, beside, metadata={"format": "pt"})
    return find(str(folder))


def _chosen(
    weights: dict[str, torch.Tensor], name: str, kept: Sequence[int]
) -> dict[str, torch.Tensor]:
    """The tensors of the layers `kept`, renumbered, and all that are of no layer."""
    place = {number: place for place, number in enumerate(kept)}
    numbered = re.compile(rf"{re.escape(name)}\.(\d+)\.(.*)")
    chosen = {}
    for key, tensor in weights.items():
        match = numbered.fullmatch(key)
        if match is None:
            chosen[key] = tensor.contiguous()
        elif int(match[1]) in place:
            chosen[f"{name}.{place[int(match[1])]}.{match[2]}"] = tensor.contiguous()
    return chosen


def _require_fit(student: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    try:
        student.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise TrainError(
            f"These layers of the teacher do not make an encoder of their own: {reason}",
            hint="Keep others, layer 0 among them: in some encoders it is made differently.",
        ) from error
