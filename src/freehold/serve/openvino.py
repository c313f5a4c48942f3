"""OpenVINO as the engine's arithmetic: a compiled model, given only shapes that it can remember.

It keeps what it prepared for each shape: MiniLM-L6 in int8 grew by 2 MB a shape over the 120 that
were tried, and with all its caches off small calls took twice as long. So lengths are rounded up
and batches cut into powers of two: a few dozen shapes, which are all remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freehold.errors import IntegrityError
from freehold.offline import keep_silent
from freehold.serve.tuning import Tuning, padded, pieces

keep_silent()
import openvino  # noqa: E402 - only once it cannot report that it was imported

__all__ = ["OpenVino", "has_bf16"]

MODEL = "model.xml"  # its weights beside it in model.bin
OUTPUT = "logits"
_HINTS = {"fp32": "f32", "bf16": "bf16"}


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 by itself."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVino:
    """The model.xml of a bundle's folder; `run` is meant for one thread at a time."""

    def __init__(self, folder: Path, *, precision: str, longest: int, tuning: Tuning) -> None:
        """`longest`: tokens that the model reads at most.

        Raises IntegrityError when OpenVINO does not accept the files, or when the model is to run
        in bf16 and the processor does not have it.
        """
        bf16 = has_bf16()
        if precision == "bf16" and not bf16:
            raise IntegrityError(
                f"The bundle in {folder} is for a processor with bf16, which this one lacks.",
                hint="Export the model again on this machine.",
            )
        # What int8 leaves in floating point: in bf16 where the processor has it, as OpenVINO would.
        hint = _HINTS.get(precision, "bf16" if bf16 else "f32")
        self._tuning, self._longest = tuning, longest
        core = openvino.Core()
        try:
            compiled = core.compile_model(
                core.read_model(folder / MODEL),
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": tuning.threads,
                    "NUM_STREAMS": tuning.streams,
                    "INFERENCE_PRECISION_HINT": hint,
                    # The cores are shared with HTTP and tokenising: the system places the threads.
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except Exception as error:  # RuntimeError for most, but not by contract
            raise IntegrityError(
                f"OpenVINO {openvino.__version__} does not run {folder / MODEL}.",
                hint="Export the model again on this machine.",
            ) from error
        self._requests = [compiled.create_infer_request() for _ in range(tuning.streams)]

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits of one batch: (batch, labels) or (batch, tokens, labels)."""
        rows, length = feeds["input_ids"].shape
        wide = padded(length, self._tuning.step, self._longest)
        if wide > length:
            feeds = {name: _widened(array, wide) for name, array in feeds.items()}
        parts = pieces(rows, wide, self._tuning.streams)
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(parts), len(self._requests)):
            found += self._beside(feeds, parts[start : start + len(self._requests)])
        logits = found[0] if len(found) == 1 else np.concatenate(found)
        return logits[:, :length] if wide > length and logits.ndim == 3 else logits

    def _beside(
        self, feeds: Mapping[str, NDArray[Any]], parts: Sequence[slice]
    ) -> list[NDArray[np.float32]]:
        """The logits of some parts of a batch, one for each stream at most."""
        used = self._requests[: len(parts)]
        if len(used) == 1:
            # In this thread: handed to another one, a call of 16 tokens on a busy core waited a
            # quarter longer (median 47 ms against 37).
            (request,), (part,) = used, parts
            request.infer({name: array[part] for name, array in feeds.items()}, share_inputs=True)
            return [_logits(request)]
        # Its inputs are read where they stand, so they have to outlive the call.
        given = [{name: array[part] for name, array in feeds.items()} for part in parts]
        for request, inputs in zip(used, given, strict=True):
            request.start_async(inputs, share_inputs=True)
        for request in used:
            request.wait()
        return [_logits(request) for request in used]


def _logits(request: Any) -> NDArray[np.float32]:
    """A copy: the tensor is overwritten by the next call."""
    return np.array(request.get_tensor(OUTPUT).data, np.float32)


def _widened(array: NDArray[Any], length: int) -> NDArray[Any]:
    """With zeros at the end, which the mask takes out."""
    wide = np.zeros((array.shape[0], length), array.dtype)
    wide[:, : array.shape[1]] = array
    return wide
