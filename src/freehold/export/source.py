"""What candidates are built from: the graph, the checkpoint behind it, texts to calibrate with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import FreeholdError

if TYPE_CHECKING:
    from freehold.tasks.types import Dataset
    from freehold.train.checkpoint import LoadedModel

__all__ = ["MOST_CALIBRATION", "Feeds", "Source", "calibration_feeds"]

Feeds = Mapping[str, NDArray[Any]]

# Windows of texts. NNCF takes 300 of itself; its time grows with them.
MOST_CALIBRATION = 128
_SEED = 0


@dataclass(frozen=True, slots=True)
class Source:
    """`graph` is what `write_graph` wrote, absent where it could not; `calibration` some inputs of
    it made of train texts, empty where none are at hand."""

    checkpoint: Path
    graph: Path
    calibration: Sequence[Feeds] = ()


def calibration_feeds(
    model: LoadedModel,
    train: Dataset,
    inputs: Sequence[str],
    *,
    most: int = MOST_CALIBRATION,
    seed: int = _SEED,
) -> list[Feeds]:
    """Windows of texts of `train`, each a batch of one; the same seed draws the same.

    Raises FreeholdError where the texts are for another task.
    """
    from tokenizers import Tokenizer

    from freehold.train.adapter import adapter_of

    if train.task != model.meta.task:
        raise FreeholdError(
            f"{train.path} is for {train.task}; the model is for {model.meta.task}."
        )
    count = min(most, len(train))
    drawn = np.random.default_rng(seed).choice(len(train), count, replace=False)
    meta = model.meta
    rows = adapter_of(meta.task).encode(
        # A copy: encoding sets truncation, which the bundle's file must not have.
        Tokenizer.from_str(model.tokenizer.to_str()),
        [train.examples[number] for number in sorted(drawn.tolist())],
        meta.max_length,
        casing=meta.casing,
        lines=meta.lines,
    )
    found: list[Feeds] = []
    for row, ids in enumerate(rows.ids[:most]):
        types = np.zeros(len(ids)) if rows.types is None else rows.types[row]
        arrays: dict[str, NDArray[Any]] = {
            "input_ids": ids,
            "attention_mask": np.ones(len(ids)),
            "token_type_ids": types,
        }
        found.append({name: arrays[name][None].astype(np.int64) for name in inputs})
    return found
