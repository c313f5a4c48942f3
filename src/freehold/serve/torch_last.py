"""torch as the engine's arithmetic, for encoders that cannot be written as ONNX: the last resort.

The one file of serve that reaches training code, and only when such a bundle is opened
(docs/decisions/0012-torch-as-the-last-resort.md). The weights are safetensors, as training left
them; no pickle and no code of a checkpoint is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import IntegrityError, MissingDependencyError, TrainError
from freehold.serve.tuning import Tuning

__all__ = ["Torch"]

_LIBRARIES = ("torch", "transformers", "safetensors")


class Torch:
    """The checkpoint in a bundle's folder; `run` is meant for one thread at a time."""

    def __init__(self, folder: Path, *, inputs: tuple[str, ...], tuning: Tuning) -> None:
        """Raises MissingDependencyError without torch, IntegrityError where the weights do not fit
        what the bundle says of them."""
        for name in _LIBRARIES:
            if find_spec(name) is None:
                raise MissingDependencyError(name, "train", f"The bundle in {folder}")
        import torch

        from freehold.train.checkpoint import load

        torch.set_num_threads(tuning.threads)
        try:
            self._module = load(folder).module
        except TrainError as error:
            raise IntegrityError(
                f"The weights in {folder} cannot be loaded: {error.message}",
                hint="Export the model again.",
            ) from error
        self._inputs = inputs

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits of one batch: (batch, labels) or (batch, tokens, labels)."""
        import torch

        with torch.inference_mode():
            given = (torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in self._inputs)
            found: NDArray[np.float32] = self._module(*given).float().numpy()
        return found
