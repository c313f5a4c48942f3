"""A trained model as a folder: safetensors, the encoder's config, its tokenizer, freehold.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.errors import NotFoundError, TrainError
from freehold.store.files import replacing, write_text
from freehold.train.encoders import OURS, WEIGHTS, build_encoder, load_tokenizer, read_json

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from freehold.train.heads.base import Head

__all__ = ["LoadedModel", "Meta", "load", "read_meta", "remove", "save"]

FORMAT = 1
FILES = (WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json", OURS)


@dataclass(frozen=True, slots=True)
class Meta:
    """freehold.json: what the weights are for."""

    task: str
    labels: tuple[str, ...]  # in the order of the logits
    max_length: int  # tokens, special ones included
    base: str
    base_sha256: str
    score_name: str  # of the dev set
    score: float
    epoch: int  # that the weights are from
    recipe: Mapping[str, Any]
    casing: bool = False  # the encoder is given the shapes of words
    lines: bool = False  # the encoder is shown where a line ends
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """`module(input_ids, attention_mask, token_type_ids)` -> logits: (batch, labels), or (batch,
    tokens, labels) …; attention_mask is (batch, tokens), bool or integers, or None where nothing is
    padded; token_type_ids the segment numbers of text pairs, or None.

    The tokenizer neither pads nor truncates by itself.
    """

    module: Head
    tokenizer: Tokenizer
    meta: Meta


def save(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    origin: Path,
    meta: Meta,
    *,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write the folder file by file, each whole or not at all, freehold.json last.

    `weights` are named as in the module (`encoder.…`, `head.…`); config and tokenizer come from
    the folder `origin` of the encoder that was started from, unless `config` is another's.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / WEIGHTS) as beside:
        save_file(dict(weights), beside, metadata={"format": "pt"})
    load_tokenizer(origin).save(str(folder / ".tokenizer.json"))
    (folder / ".tokenizer.json").replace(folder / "tokenizer.json")
    for name in ("config.json", "tokenizer_config.json"):
        if (origin / name).exists():
            write_text(folder / name, (origin / name).read_text(encoding="utf-8"))
    if config is not None:
        write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    write_text(folder / OURS, json.dumps(asdict(meta), indent=2, ensure_ascii=False) + "\n")


def remove(folder: Path) -> None:
    """Take away a checkpoint's own files; anything else in the folder stays."""
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def read_meta(folder: Path) -> Meta:
    """Raises NotFoundError where there is no checkpoint, TrainError where it is not readable."""
    path = folder / OURS
    if not path.exists():
        raise NotFoundError(f"There is no trained model in {folder}.", hint="Run `freehold train`.")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        meta = Meta(**{**fields, "labels": tuple(fields["labels"])})
    except (ValueError, TypeError, KeyError) as error:
        raise TrainError(f"{path} is not what Freehold writes: {error}.") from error
    if meta.format != FORMAT:
        raise TrainError(f"{path} is of format {meta.format}; this Freehold reads {FORMAT}.")
    return meta


def load(folder: Path) -> LoadedModel:
    """The model on the CPU in float32, ready to answer (no dropout). Raises as `read_meta` does."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from freehold.train.adapter import adapter_of

    meta = read_meta(folder)
    config = read_json(folder / "config.json")
    module = adapter_of(meta.task).module(build_encoder(config), len(meta.labels), 0.0)
    try:
        module.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise TrainError(
            f"The weights in {folder} do not fit their config.json: {reason}"
        ) from error
    return LoadedModel(module.eval(), load_tokenizer(folder), meta)
