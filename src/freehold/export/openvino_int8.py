"""Candidate: OpenVINO in int8, rounded after training by NNCF with texts that were learnt from.

Weights and activations get fixed scales, the latter from what the calibration texts show (model
type "transformer": attention's sensitive parts stay in floating point, activations are asymmetric;
https://docs.openvino.ai/ "Basic quantization flow"). So unlike ONNX Runtime's dynamic int8 an
answer does not depend on what it was batched with.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

from freehold.export.openvino_float import save
from freehold.export.source import Source
from freehold.offline import keep_silent

__all__ = ["build"]


def build(source: Source, folder: Path) -> None:
    """Write model.xml and model.bin, the rounded graph, into `folder`."""
    keep_silent()
    import nncf
    import openvino

    model = openvino.Core().read_model(source.graph)
    with _quiet():
        rounded = nncf.quantize(
            model,
            nncf.Dataset(list(source.calibration)),
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(source.calibration),
        )
    save(rounded, folder)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without NNCF's bars and messages, which go to standard output, where --json is."""
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
