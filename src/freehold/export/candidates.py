"""What an exported graph can be made into: each kind has a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from freehold.export import ort_fp32, ort_int8

__all__ = ["CANDIDATES", "Candidate"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run a model: the engine that runs it, the precision it computes in, and `build`,
    which writes the engine's model files into an empty folder, given the graph of `write_graph`."""

    engine: str
    precision: str
    build: Callable[[Path, Path], None]

    @property
    def name(self) -> str:
        return f"{self.engine} {self.precision}"


# The first is the graph as it is: what all others are allowed to be judged against.
CANDIDATES = (
    Candidate("onnxruntime", "fp32", ort_fp32.build),
    Candidate("onnxruntime", "int8", ort_int8.build),
)
