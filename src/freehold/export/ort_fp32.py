"""Candidate: the graph as it was exported, run by ONNX Runtime in single precision."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["build"]


def build(graph: Path, folder: Path) -> None:
    """Write model.onnx, a copy of the graph, into `folder`."""
    shutil.copyfile(graph, folder / "model.onnx")
