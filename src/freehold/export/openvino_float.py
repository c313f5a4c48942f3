"""Candidates: the graph in OpenVINO, in single precision or in bf16 where the processor has it.

The bundle has OpenVINO's own form, model.xml and model.bin, which opens faster than ONNX does
(MiniLM-L6: read in 0.02 s of processor time against 0.15) and maps its weights from the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.export.source import Source
from freehold.offline import keep_silent

__all__ = ["build", "save", "tunings", "without_bf16"]


def build(source: Source, folder: Path) -> None:
    """Write model.xml and model.bin into `folder`. Weights stay in single precision: which one is
    computed in is chosen when the model is opened."""
    keep_silent()
    import openvino

    save(openvino.Core().read_model(source.graph), folder)


def save(model: Any, folder: Path) -> None:
    """Write an OpenVINO model; the same one gives the same bytes."""
    import openvino

    # Its own names count all nodes that this process ever made.
    for number, node in enumerate(model.get_ordered_ops()):
        if node.get_type_name() not in ("Parameter", "Result"):
            node.set_friendly_name(f"{node.get_type_name()}_{number}")
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)


def without_bf16() -> str | None:
    """Why bf16 cannot be had here, if it cannot."""
    keep_silent()
    import openvino

    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return None
    return "this processor has no bf16"


def tunings(cores: int) -> Sequence[Mapping[str, int]]:
    """All cores on one call, or calls beside each other; lengths in steps of 8, or of 16."""
    return [
        {"threads": cores, "streams": streams, "step": step}
        for streams in dict.fromkeys((1, min(2, cores), cores))
        for step in (8, 16)
    ]
