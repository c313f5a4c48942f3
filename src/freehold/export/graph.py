"""A trained module as one ONNX file, checked against the module number by number."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from freehold.errors import FreeholdError, MissingDependencyError

if TYPE_CHECKING:
    import onnx
    import torch
    from numpy.typing import NDArray

    from freehold.train.checkpoint import LoadedModel

__all__ = [
    "INPUTS",
    "OPSET",
    "GraphError",
    "check_graph",
    "inputs_of",
    "need_libraries",
    "write_graph",
]

INPUTS = ("input_ids", "attention_mask")
ALL_INPUTS = (*INPUTS, "token_type_ids")
OUTPUT = "logits"
# The first opset in which GELU is one node. torch's exporter takes it as its default, too.
OPSET = 20
_LARGEST = 2_000_000_000  # bytes; a protobuf message, and so an ONNX file, ends at 2 GiB
# Single precision through a dozen layers, summed in another order; measured: 1e-7 to 2e-6.
_TOLERANCE = 2e-4
_LIBRARIES = ("torch", "transformers", "onnx", "onnxscript")


class GraphError(FreeholdError):
    """The encoder cannot be written as ONNX."""


def need_libraries() -> None:
    """Raises MissingDependencyError for the first library that exporting lacks."""
    for name in _LIBRARIES:
        if find_spec(name) is None:
            raise MissingDependencyError(name, "train", "Exporting a model")


def write_graph(model: LoadedModel, path: Path) -> None:
    """Encoder and head as an ONNX file at `path`, weights inside, batch and length free.

    The graph takes int64 `input_ids` and `attention_mask` (batch, tokens), of text pairs
    `token_type_ids` too where the tokenizer numbers its segments (of words their shapes, where the
    model was trained with them), and gives float32 `logits`. The
    same weights give the same bytes. Raises GraphError when the encoder cannot be written as
    ONNX or the graph does not compute what the module does.
    """
    size = sum(weight.numel() * 4 for weight in model.module.state_dict().values())
    if size > _LARGEST:
        raise GraphError(
            f"The model has {size / 1e9:.1f} GB of weights; one ONNX file holds 2.",
            hint="Train from a smaller encoder, or export with --engine torch.",
        )
    graph = _stripped(_exported(model.module, inputs_of(model)))
    path.write_bytes(graph.SerializeToString(deterministic=True))
    check_graph(model, path)


def inputs_of(model: LoadedModel) -> tuple[str, ...]:
    """The names of the graph's inputs."""
    from freehold.tasks.registry import task_of

    if model.meta.casing:
        return ALL_INPUTS
    numbered = any(model.tokenizer.encode("a", "b").type_ids)
    return ALL_INPUTS if task_of(model.meta.task).pairs and numbered else INPUTS


def _exported(module: torch.nn.Module, inputs: Sequence[str]) -> onnx.ModelProto:
    import torch

    ids = torch.ones((2, 8), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0  # so that nothing is left out because no text is padded
    given = dict(zip(ALL_INPUTS, (ids, mask, torch.zeros_like(ids)), strict=True))
    free = {0: "batch", 1: "sequence"}
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                module.eval(),
                tuple(given[name] for name in inputs),
                dynamo=True,
                input_names=list(inputs),
                output_names=[OUTPUT],
                dynamic_shapes=dict.fromkeys(inputs, free),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise GraphError(
            f"This encoder cannot be written as ONNX: {reason}",
            hint="Train from another encoder, or export with --engine torch.",
        ) from error
    assert program is not None
    return program.model_proto


def _stripped(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Without what the exporter notes beside each node: source lines with this machine's paths."""
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    graph.doc_string = ""
    graph.graph.doc_string = ""
    for part in (
        graph.graph.node,
        graph.graph.initializer,
        graph.graph.value_info,
        graph.graph.input,
        graph.graph.output,
    ):
        for item in part:
            item.doc_string = ""
            del item.metadata_props[:]
    return graph


def check_graph(model: LoadedModel, path: Path) -> None:
    """Hold the graph against the module: padded batches too, lengths from 1 to the longest.

    Raises GraphError where they differ by more than rounding.
    """
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    longest = model.meta.max_length
    names = inputs_of(model)
    for batch, length in sorted({(1, 1), (1, 2), (3, min(7, longest)), (8, longest)}):
        feeds = _random_batch(batch, length, model.tokenizer.get_vocab_size())
        feeds = {name: feeds[name] for name in names}
        (found,) = session.run([OUTPUT], feeds)
        with torch.inference_mode():
            expected = model.module(*(torch.from_numpy(feeds[name]) for name in names)).numpy()
        seen = feeds["attention_mask"].astype(bool) if found.ndim == 3 else slice(None)
        difference = float(np.abs(found - expected)[seen].max())
        if not difference <= _TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise GraphError(
                f"The exported graph and torch differ by {difference:.2g} at batch {batch}, length "
                f"{length}; this encoder is not translated rightly.",
                hint="Train from another encoder, or export with --engine torch.",
            )


def _random_batch(batch: int, length: int, vocabulary: int) -> dict[str, NDArray[np.int64]]:
    random = np.random.default_rng(batch * 1000 + length)
    ids = random.integers(0, vocabulary, (batch, length))
    mask = np.ones((batch, length), np.int64)
    for row in range(1, batch):
        mask[row, random.integers(1, length + 1) :] = 0
    types = np.zeros((batch, length), np.int64)
    types[:, length // 2 :] = 1
    return dict(zip(ALL_INPUTS, (ids.astype(np.int64), mask, types), strict=True))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch 2.13's exporter says about itself; other warnings still come through."""
    noisy = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = noisy.level
    # It reports each operator of torchvision as skipped, which no text model has.
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for category, message in _EXPECTED:
                warnings.filterwarnings("ignore", category=category, message=message)
            yield
    finally:
        noisy.setLevel(level)


_EXPECTED: tuple[tuple[type[Warning], str], ...] = (
    # torch.export pickles its own tree specifications, which warn of their old class.
    (FutureWarning, r".*LeafSpec"),
    # Both inputs share the axis "sequence", as they should.
    (UserWarning, r"# The axis name: .* will not be used"),
)
