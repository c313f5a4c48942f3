"""Candidate of the last resort: the checkpoint as it is, run by torch.

It is tried only where the encoder cannot be written as ONNX, or when it is asked for: it needs
torch where it serves (docs/decisions/0012-torch-as-the-last-resort.md).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from freehold.export.source import Source

__all__ = ["build"]


def build(source: Source, folder: Path) -> None:
    """Copy the checkpoint's files into `folder`: safetensors and JSON."""
    from freehold.train.checkpoint import FILES

    for name in FILES:
        if (source.checkpoint / name).exists():
            shutil.copyfile(source.checkpoint / name, folder / name)
