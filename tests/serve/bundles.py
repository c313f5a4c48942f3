"""Real bundles, if tiny ones: a graph for onnxruntime in which every token has its own figures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from serving import LABELS, LABELS_OF

from freehold.tasks.registry import task_of
from freehold.testing import tiny_encoder

WIDTH = 8  # of a vector


def tiny_bundle(
    kind: str, folder: Path, *, model: str | None = None, labels: tuple[str, ...] | None = None
) -> Path:
    """A bundle of version 1, found under its task's name if no other is given."""
    task = task_of(kind)
    labels = LABELS_OF.get(kind, LABELS) if labels is None else labels
    tiny_encoder(folder)
    for left in set(folder.iterdir()) - {folder / "tokenizer.json"}:
        left.unlink()
    width = task.width(labels) or WIDTH
    each, unit = task.head in ("tags", "span"), task.head == "vector"
    write_graph(folder / "model.onnx", width, each=each, unit=unit)
    names = ("model.onnx", "tokenizer.json")
    document = {
        "format": 1,
        "model": model or kind,
        "version": 1,
        "task": kind,
        "labels": list(labels),
        "temperature": 1.0,
        "max_length": 32,
        "inputs": ["input_ids", "attention_mask"],
        "pad_id": 0,
        "engine": "onnxruntime",
        "precision": "fp32",
        "files": {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names},
    }
    (folder / "bundle.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def write_graph(path: Path, width: int, *, each: bool, unit: bool) -> None:
    """Figures of each token, or the mean of them, perhaps of length 1."""
    import onnx
    from onnx import TensorProto, helper

    table = 3 * np.random.default_rng(7).normal(size=(4096, width)).astype(np.float32)
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.ravel()),
        helper.make_tensor("last", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("tokens", TensorProto.INT64, [1], [1]),
    ]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["logits" if each else "rows"])]
    if not each:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
            helper.make_node("Mul", ["rows", "wide"], ["kept"]),
            helper.make_node("ReduceSum", ["kept", "tokens"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["wide", "tokens"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["mean" if unit else "logits"]),
        ]
    if unit:
        nodes += [
            helper.make_node("ReduceL2", ["mean", "last"], ["norm"], keepdims=1),
            helper.make_node("Div", ["mean", "norm"], ["logits"]),
        ]
    shape: list[str | int | None] = ["batch", *(["tokens"] if each else []), width]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
        constants,
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
