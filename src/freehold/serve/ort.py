"""ONNX Runtime as the engine's arithmetic: one session, set for a server that shares its cores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from freehold.errors import IntegrityError

__all__ = ["OnnxRuntime"]

MODEL = "model.onnx"
OUTPUT = "logits"

# On the CPU this fused kernel normalises row by row without vector instructions; the separate
# addition and normalisation are faster: MiniLM-L6, batch 32 x 16 on one core, int8 50 -> 40 ms,
# fp32 123 -> 112 ms.
_SLOWER_FUSIONS = ["SkipLayerNormFusion"]


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
        # Every batch has its own shape. A plan kept for each, an arena that doubles and keeps its
        # largest size would grow with what comes in: after one batch of 16 x 512 the process stayed
        # at 780 MB; as below it went back to 175 MB, at the same speed.
        options.enable_mem_pattern = False
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        provider = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / MODEL),
                options,
                providers=[provider],
                disabled_optimizers=_SLOWER_FUSIONS,
            )
        except Exception as error:  # its exceptions have no common class of their own
            raise IntegrityError(
                f"ONNX Runtime {onnxruntime.__version__} does not run {folder / MODEL}.",
                hint="Export the model again on this machine.",
            ) from error

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Logits of one batch: (batch, labels) or (batch, tokens, labels)."""
        (logits,) = self._session.run([OUTPUT], dict(feeds), self._run_options)
        found: NDArray[np.float32] = logits
        return found
