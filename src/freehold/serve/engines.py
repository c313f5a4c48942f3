"""What can run a bundle's model: each engine has a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from freehold.errors import IntegrityError, MissingDependencyError
from freehold.serve.bundle import Meta
from freehold.serve.tuning import Tuning

__all__ = ["ENGINES", "Arithmetic", "open_arithmetic"]


class Arithmetic(Protocol):
    """The model file of a bundle, opened; called by one thread at a time."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits of one batch: (batch, labels) or (batch, tokens, labels). `feeds` has int64 arrays
        (batch, tokens) under the names in the bundle's `inputs`, `input_ids` always among them."""
        ...


def _onnxruntime(folder: Path, meta: Meta, tuning: Tuning) -> Arithmetic:
    from freehold.serve.ort import OnnxRuntime

    return OnnxRuntime(folder, threads=tuning.threads)


def _openvino(folder: Path, meta: Meta, tuning: Tuning) -> Arithmetic:
    if find_spec("openvino") is None:
        raise MissingDependencyError("openvino", "openvino", f"The bundle in {folder}")
    from freehold.serve.openvino import OpenVino

    return OpenVino(folder, precision=meta.precision, longest=meta.max_length, tuning=tuning)


def _torch(folder: Path, meta: Meta, tuning: Tuning) -> Arithmetic:
    from freehold.serve.torch_last import Torch

    return Torch(folder, inputs=meta.inputs, tuning=tuning)


# Each is imported when a bundle that asks for it is opened, and no earlier.
ENGINES: Mapping[str, Callable[[Path, Meta, Tuning], Arithmetic]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "torch": _torch,
}


def open_arithmetic(folder: Path, meta: Meta, tuning: Tuning) -> Arithmetic:
    """Raises IntegrityError for an engine that there is not, and what the engine raises."""
    if meta.engine not in ENGINES:
        raise IntegrityError(
            f"The bundle in {folder} asks for the engine {meta.engine}, which this Freehold has "
            "not.",
            hint="Export the model again with this Freehold, or install the one that made it.",
        )
    return ENGINES[meta.engine](folder, meta, tuning)
