"""What an exported model can be made into: each kind has a file of its own and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from freehold.export import openvino_float, openvino_int8, ort_fp32, ort_int8, torch_fp32
from freehold.export.source import Source

__all__ = ["CANDIDATES", "Candidate"]

Tunings = Sequence[Mapping[str, int]]


def _always() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to run a model: the engine that runs it, the precision it computes in, and `build`,
    which writes the engine's model files into an empty folder.

    `needs`: libraries of the extra `extra`. `unfit` says in a sentence why this machine cannot run
    it, None where it can. `calibrated`: it is built with the help of train texts. `last`: it is
    tried where no other can be built. `tunings(cores)` are the ways to use a machine that are
    measured, the plainest first, as `Engine.open` takes them.
    """

    engine: str
    precision: str
    build: Callable[[Source, Path], None]
    tunings: Callable[[int], Tunings]
    needs: tuple[str, ...] = ()
    extra: str = ""
    unfit: Callable[[], str | None] = _always
    calibrated: bool = False
    last: bool = False

    @property
    def name(self) -> str:
        return f"{self.engine} {self.precision}"

    def missing(self) -> str | None:
        """The first library that it needs and that is not installed."""
        return next((name for name in self.needs if find_spec(name) is None), None)


_OPENVINO, _NNCF = ("openvino",), ("openvino", "nncf")

# The first is the graph as it is: what all others are allowed to be judged against.
CANDIDATES = (
    Candidate("onnxruntime", "fp32", ort_fp32.build, ort_fp32.tunings),
    Candidate("onnxruntime", "int8", ort_int8.build, ort_fp32.tunings),
    Candidate(
        "openvino", "fp32", openvino_float.build, openvino_float.tunings, _OPENVINO, "openvino"
    ),
    Candidate(
        "openvino", "bf16", openvino_float.build, openvino_float.tunings, _OPENVINO, "openvino",
        unfit=openvino_float.without_bf16,
    ),
    Candidate(
        "openvino", "int8", openvino_int8.build, openvino_float.tunings, _NNCF, "openvino",
        calibrated=True,
    ),
    Candidate("torch", "fp32", torch_fp32.build, ort_fp32.tunings, last=True),
)  # fmt: skip
