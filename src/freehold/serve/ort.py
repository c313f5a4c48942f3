"""ONNX Runtime as the engine's arithmetic: one session, set for a server that shares its cores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from freehold.errors import IntegrityError

__all__ = ["OnnxRuntime", "gives_back"]

MODEL = "model.onnx"
OUTPUT = "logits"

# On the CPU this fused kernel normalises row by row without vector instructions; the separate
# addition and normalisation are faster: MiniLM-L6, batch 32 x 16 on one core, int8 50 -> 40 ms,
# fp32 123 -> 112 ms.
_SLOWER_FUSIONS = ["SkipLayerNormFusion"]

# Memory that a call gives back is asked for again by the next, page by page: 0.4 ms of the 3.2 ms
# that a sentence of CoNLL-2003 took with MiniLM-L3 in int8, and as much with six layers. Kept for
# good, it stays at what the largest call took: 690 MB beside the model after one of 16 x 512. So it
# is kept up to what a server's usual batch takes at most, 4,096 tokens in texts of 512 (MiniLM: 350
# MB; in texts of 128 half of it, of 32 a third), and a larger call gives all of it back. Counted in
# tokens x (length + _WIDTH): the layers' values grow with the tokens, attention's scores with
# tokens x length, and at this length the two are about as large.
_WIDTH = 256
_KEPT = 8 * 512 * (512 + _WIDTH)


def gives_back(rows: int, length: int) -> bool:
    """Whether a call of this shape is too large to keep its memory for the next."""
    return rows * length * (length + _WIDTH) > _KEPT


class OnnxRuntime:
    """A session over model.onnx in a bundle's folder; `run` is meant for one thread at a time."""

    def __init__(self, folder: Path, *, threads: int) -> None:
        """Raises IntegrityError when ONNX Runtime does not accept the file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        # Threads that spin while they wait take the cores that HTTP and tokenising need: with one
        # busy thread beside it, a batch of 32 x 16 took 84 ms spinning and 62 ms sleeping.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Work is handed out in smaller pieces, so that a thread that lost its core holds up less.
        options.add_session_config_entry("session.dynamic_block_base", "4")
        # Every batch has its own shape; a plan kept for each would grow with what comes in.
        options.enable_mem_pattern = False
        self._giving_back = onnxruntime.RunOptions()
        self._giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / MODEL),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=_SLOWER_FUSIONS,
            )
        except Exception as error:  # its exceptions have no common class of their own
            raise IntegrityError(
                f"ONNX Runtime {onnxruntime.__version__} does not run {folder / MODEL}.",
                hint="Export the model again on this machine.",
            ) from error

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits of one batch: (batch, labels) or (batch, tokens, labels)."""
        rows, length = feeds["input_ids"].shape
        options = self._giving_back if gives_back(rows, length) else None
        (logits,) = self._session.run([OUTPUT], dict(feeds), options)
        found: NDArray[np.float32] = logits
        return found
