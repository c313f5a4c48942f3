"""Candidate: the graph as it was exported, run by ONNX Runtime in single precision."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from freehold.export.source import Source

__all__ = ["build", "tunings"]


def build(source: Source, folder: Path) -> None:
    """Write model.onnx, a copy of the graph, into `folder`."""
    shutil.copyfile(source.graph, folder / "model.onnx")


def tunings(cores: int) -> Sequence[Mapping[str, int]]:
    """All cores, or one: a small model may lose more by waiting for threads than it wins."""
    return [{"threads": threads} for threads in dict.fromkeys((cores, 1))]
