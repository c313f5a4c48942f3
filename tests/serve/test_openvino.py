"""OpenVINO as arithmetic: it answers as ONNX Runtime does, and remembers few shapes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from freehold.errors import IntegrityError
from freehold.export.openvino_float import build
from freehold.export.source import Source
from freehold.serve import openvino as module
from freehold.serve.openvino import OpenVino
from freehold.serve.ort import OnnxRuntime
from freehold.serve.tuning import Tuning

LONGEST = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph whose logits for each token tell its id, its place and its row's length apart."""
    import onnx
    from onnx import TensorProto, helper

    names = "input_ids", "attention_mask"
    made = tmp_path_factory.mktemp("openvino")
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["input_ids", "attention_mask"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "axis"], ["whole"], keepdims=1),
            helper.make_node("Add", ["seen", "whole"], ["sum"]),
            helper.make_node("Cast", ["sum"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["float", "last"], ["logits"]),
        ],
        "sums",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["rows", "length"]) for n in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "length", 1])],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        ],
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), made / "model.onnx")
    build(Source(made, made / "model.onnx"), made)
    return made


def opened(folder: Path, tuning: Tuning, precision: str = "fp32") -> OpenVino:
    return OpenVino(folder, precision=precision, longest=LONGEST, tuning=tuning)


def feeds(rows: int, length: int) -> dict[str, NDArray[np.int64]]:
    chance = np.random.default_rng(rows * 100 + length)
    mask = (np.arange(length) < chance.integers(1, length + 1, (rows, 1))).astype(np.int64)
    return {"input_ids": chance.integers(1, 99, (rows, length)), "attention_mask": mask}


@pytest.mark.parametrize("tuning", [Tuning(1, 1, 8), Tuning(2, 2, 16), Tuning(1, 1, 1)])
def test_every_batch_is_answered_in_order(folder: Path, tuning: Tuning) -> None:
    engine, other = opened(folder, tuning), OnnxRuntime(folder, threads=1)
    for rows, length in [(1, 1), (3, 7), (7, 8), (37, 9), (70, 33), (2, LONGEST)]:
        given = feeds(rows, length)
        np.testing.assert_array_equal(engine.run(given), other.run(given))


def test_an_answer_outlives_the_next_call(folder: Path) -> None:
    engine = opened(folder, Tuning(1))
    first = engine.run(feeds(2, 8))
    kept = first.copy()
    engine.run(feeds(2, 8) | {"input_ids": np.full((2, 8), 7)})
    np.testing.assert_array_equal(first, kept)


def test_only_few_shapes_reach_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It keeps memory for each that it has seen."""
    seen = set()
    engine = opened(folder, Tuning(1, 1, 8))

    class Request:
        def __init__(self, real: object) -> None:
            self._real = real

        def infer(self, inputs: dict[str, NDArray[np.int64]], share_inputs: bool) -> None:
            seen.add(inputs["input_ids"].shape)
            self._real.infer(inputs, share_inputs=share_inputs)

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    monkeypatch.setattr(engine, "_requests", [Request(one) for one in engine._requests])
    for rows in range(1, 70):
        for length in (rows % LONGEST + 1, LONGEST - rows % LONGEST):
            engine.run(feeds(rows, length))
    assert len({shape[1] for shape in seen}) == LONGEST // 8
    assert {shape[0] for shape in seen} <= {1, 2, 4, 8, 16, 32}


def test_what_it_cannot_run_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.xml").write_text("<net>")
    with pytest.raises(IntegrityError, match="does not run"):
        opened(tmp_path, Tuning(1))
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    with pytest.raises(IntegrityError, match="for a processor with bf16, which this one lacks"):
        opened(folder, Tuning(1), "bf16")


def test_it_reports_to_nobody_and_needs_neither_torch_nor_nncf(folder: Path) -> None:
    program = """
        import json, sys
        from pathlib import Path
        from freehold.serve.openvino import OpenVino
        from freehold.serve.tuning import Tuning

        OpenVino(Path(sys.argv[1]), precision="fp32", longest=8, tuning=Tuning(1))
        ours = {"torch", "nncf", "transformers", "onnx", "openvino_telemetry"}
        print(json.dumps([name for name in sys.modules if name in ours and sys.modules[name]]))
        import openvino.tools.ovc as ovc
        print(ovc.telemetry.__class__.__module__)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    loaded, reporter = done.stdout.split("\n")[:2]
    assert json.loads(loaded) == []
    assert reporter == "openvino.tools.ovc.telemetry_stub"
