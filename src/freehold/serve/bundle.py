"""A bundle as it lies on disk: what bundle.json says, and that the files are the recorded ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.errors import IntegrityError, NotFoundError

__all__ = ["Meta", "read"]

FORMAT = 1
DOCUMENT = "bundle.json"
_BLOCK = 1 << 22


@dataclass(frozen=True, slots=True)
class Meta:
    """What a bundle says about itself; `labels` are in the order of the logits."""

    model: str
    version: int
    task: str
    labels: tuple[str, ...]
    temperature: float
    max_length: int  # tokens, special ones included
    inputs: tuple[str, ...]  # of the graph: input_ids, attention_mask, perhaps token_type_ids
    pad_id: int
    engine: str  # what runs the model file: onnxruntime, openvino, torch
    precision: str  # fp32, bf16, int8
    files: Mapping[str, str]  # name -> sha256
    settings: Mapping[str, Any]  # what the task tuned on dev: thresholds …
    measured: Mapping[str, Any]  # where it was exported: speed, and "tuned", how it ran best
    dev: Mapping[str, Any] | None  # the score on dev texts, None where there were none
    casing: bool = False  # the model is given the shapes of words as token_type_ids
    lines: bool = False  # the model is shown where a line ends


def read(folder: Path) -> Meta:
    """The bundle in `folder`, every file of it checked against its recorded sha256.

    Raises NotFoundError where there is no bundle, IntegrityError where it is not whole, was
    changed, or is of another format.
    """
    path = folder / DOCUMENT
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no bundle in {folder}.", hint="Run `freehold export` to make one."
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(path, "it cannot be read") from error
    _check_format(path, document)
    try:
        meta = _meta(document)
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "a field is missing or of the wrong kind") from error
    for name, recorded in meta.files.items():
        _check_file(folder, name, recorded)
    return meta


def _meta(document: Mapping[str, Any]) -> Meta:
    meta = Meta(
        model=str(document["model"]),
        version=int(document["version"]),
        task=str(document["task"]),
        labels=tuple(str(label) for label in document["labels"]),
        temperature=float(document["temperature"]),
        max_length=int(document["max_length"]),
        inputs=tuple(str(name) for name in document["inputs"]),
        pad_id=int(document["pad_id"]),
        engine=str(document["engine"]),
        precision=str(document["precision"]),
        files={str(name): str(digest) for name, digest in document["files"].items()},
        settings=dict(document.get("settings") or {}),
        measured=dict(document.get("measured") or {}),
        dev=document.get("dev"),
        casing=bool(document.get("casing")),
        lines=bool(document.get("lines")),
    )
    if not meta.temperature > 0 or meta.max_length < 1:
        raise ValueError("out of range")
    return meta


def _check_format(path: Path, document: Any) -> None:
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise IntegrityError(
            f"{path} is a bundle of format {found}; this Freehold reads format {FORMAT}.",
            hint="Export the model again with this Freehold, or install the one that made it.",
        )


def _check_file(folder: Path, name: str, recorded: str) -> None:
    if Path(name).name != name:
        raise _damaged(folder / DOCUMENT, f"it names {name!r}, which is not a file beside it")
    digest = hashlib.sha256()
    try:
        with (folder / name).open("rb") as content:
            while block := content.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise IntegrityError(
            f"The bundle in {folder} lacks its file {name}.", hint="Export the model again."
        ) from error
    if digest.hexdigest() != recorded:
        raise IntegrityError(
            f"{folder / name} is not the file that was exported: its sha256 differs.",
            hint="Do not serve it; export the model again.",
        )


def _damaged(path: Path, reason: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is not what Freehold wrote: {reason}.", hint="Export the model again."
    )
