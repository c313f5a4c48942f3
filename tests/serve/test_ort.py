"""The session's memory: ordinary calls find theirs again, a large one gives it back."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.project import Serve
from freehold.serve.ort import OnnxRuntime, gives_back

PAGE = resource.getpagesize()
STATM = Path("/proc/self/statm")
ORDINARY, LARGE = (16, 128), (32, 512)
SIDE = 1024  # a call's largest value has (rows, length, SIDE)


@pytest.fixture
def runtime(tmp_path: Path) -> OnnxRuntime:
    """A model whose values are much larger than its inputs: every id SIDE times, and their sum."""
    import onnx
    from onnx import TensorProto, helper

    names = "input_ids", "attention_mask"
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["ids", "last"], ["narrow"]),
            helper.make_node("Tile", ["narrow", "times"], ["wide"]),
            helper.make_node("ReduceSum", ["wide", "last"], ["logits"]),
        ],
        "wide",
        [helper.make_tensor_value_info(n, TensorProto.INT64, ["rows", "length"]) for n in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "length", 1])],
        [
            helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
            helper.make_tensor("times", TensorProto.INT64, [3], [1, 1, SIDE]),
        ],
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(
        helper.make_model(graph, opset_imports=[opset], ir_version=9), tmp_path / "model.onnx"
    )
    return OnnxRuntime(tmp_path, threads=1)


def run(runtime: OnnxRuntime, shape: tuple[int, int]) -> None:
    ids = np.ones(shape, np.int64)
    found = runtime.run({"input_ids": ids, "attention_mask": ids})
    assert (found == SIDE).all()


def resident() -> int:
    """Bytes."""
    return int(STATM.read_text().split()[1]) * PAGE


def taken(shape: tuple[int, int]) -> int:
    """Bytes of a call's largest value."""
    return shape[0] * shape[1] * SIDE * 4


@pytest.mark.skipif(not STATM.exists(), reason="asks Linux for the memory it uses")
def test_a_large_call_gives_its_memory_back(runtime: OnnxRuntime) -> None:
    run(runtime, ORDINARY)
    before = resident()
    run(runtime, LARGE)
    assert resident() - before < taken(LARGE) / 4


def test_an_ordinary_call_finds_the_memory_of_the_one_before(runtime: OnnxRuntime) -> None:
    run(runtime, ORDINARY)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(8):
        run(runtime, ORDINARY)
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert pages * PAGE < taken(ORDINARY)  # of eight times as much


@given(st.integers(1, 4096), st.integers(1, 512))
def test_a_servers_usual_batches_are_kept_and_what_is_kept_is_bounded(
    rows: int, length: int
) -> None:
    if rows * length <= Serve().batch_tokens:
        assert not gives_back(rows, length)
    if gives_back(rows, length):
        assert gives_back(rows + 1, length)
        assert gives_back(rows, length + 1)
    else:
        assert rows * length**2 <= 4096 * 768
