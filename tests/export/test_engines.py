"""Every engine: built, measured and kept by the same rules; what cannot be had is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LABELS, labelled

from freehold.clock import ManualClock
from freehold.errors import FreeholdError, InputError, MissingDependencyError
from freehold.export import build as building
from freehold.export import bundle as module
from freehold.export import openvino_int8
from freehold.export.bundle import export
from freehold.export.candidates import CANDIDATES, Candidate
from freehold.export.graph import GraphError, write_graph
from freehold.export.report import ExportReport
from freehold.export.sample import Sample
from freehold.export.source import Source, calibration_feeds
from freehold.export.speed import best_tuning, shapes
from freehold.serve.engine import Engine
from freehold.tasks.types import Dataset, Example
from freehold.train.checkpoint import load
from freehold.train.predict import logits

INPUTS = ("input_ids", "attention_mask")


def make(checkpoint: Path, out: Path, **options: Any) -> ExportReport:
    chosen = {"model": "bank", "version": 3, "temperature": 1.25, "dev": None, "cores": 1}
    return export(checkpoint, out, open_engine=Engine.open, **{**chosen, "seconds": 1, **options})


@pytest.fixture(scope="module")
def graph(text_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "graph.onnx"
    write_graph(load(text_checkpoint), path)
    return path


@pytest.fixture(autouse=True)
def written(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph is written already: torch takes seconds for it."""
    monkeypatch.setattr(
        module, "write_graph", lambda model, path: path.write_bytes(graph.read_bytes())
    )


@pytest.fixture(scope="module")
def train(text_checkpoint: Path) -> Dataset:
    return labelled(text_checkpoint, "text-classification", 40)


@pytest.fixture(scope="module")
def whole(
    text_checkpoint: Path,
    text_dev: Dataset,
    train: Dataset,
    graph: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> ExportReport:
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module, "write_graph", lambda model, path: path.write_bytes(graph.read_bytes())
        )
        return make(text_checkpoint, out, dev=text_dev, train=train)


def test_all_that_this_machine_has_are_measured(whole: ExportReport) -> None:
    names = {candidate.name for candidate in whole.candidates}
    left = {one.name for one in whole.left_out}
    assert names | left == {one.name for one in CANDIDATES if not one.last}
    assert left <= {"openvino bf16"}  # not every processor has it
    torch = whole.torch_score
    for candidate in whole.candidates:
        assert candidate.agreement is not None
        assert candidate.agreement >= (0.99 if candidate.precision == "fp32" else 0.9)
        low, high = candidate.behind_interval or (1, 0)
        assert low <= candidate.behind <= high
        assert candidate.behind == pytest.approx(torch - candidate.dev_score)
        assert candidate.accepted == (candidate.behind <= whole.budget)
        assert candidate.tuned is not None
        assert candidate.tuned["threads"] == 1
        assert {cell.tokens for cell in candidate.shapes} <= {16, 64}  # it reads 64 at most
        assert all(cell.inputs_per_second > 0 for cell in candidate.shapes)


def test_the_fastest_within_the_budget_is_kept_with_how_it_ran(whole: ExportReport) -> None:
    accepted = [one for one in whole.candidates if one.accepted]
    best = max(accepted, key=lambda one: one.inputs_per_second)
    found = json.loads((whole.bundle / "bundle.json").read_text())
    assert (found["engine"], found["precision"]) == (best.engine, best.precision)
    assert found["measured"]["tuned"] == best.tuned == whole.tuned
    assert [c["engine"] for c in found["measured"]["candidates"]] == [
        c.engine for c in whole.candidates
    ]
    assert set(found["files"]) == {path.name for path in whole.bundle.iterdir()} - {"bundle.json"}


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_each_engine_answers_as_torch_does(
    engine: str, text_checkpoint: Path, text_dev: Dataset, tmp_path: Path
) -> None:
    report = make(text_checkpoint, tmp_path / "out", engine=engine, dev=text_dev, precision="fp32")
    assert (report.engine, report.agreement) == (engine, 1.0)
    opened = Engine.open(report.bundle)
    texts = ["", "hello", "x " * 300, "where is my bicycle, Anna?"]
    expected = logits(text_checkpoint, [Example(1, text) for text in texts])
    for found in (
        opened.run(opened.encode(texts)),
        [opened.run([one])[0] for one in opened.encode(texts)],
    ):
        np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-4, rtol=0)
    # Some seconds of measuring, and no path of this machine in what is shipped.
    for path in report.bundle.iterdir():
        assert str(Path.home()).encode() not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()


def test_openvino_int8_is_the_same_each_time(
    text_checkpoint: Path,
    train: Dataset,
    graph: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    feeds = calibration_feeds(load(text_checkpoint), train, INPUTS, most=8)
    assert [feed["input_ids"].shape[0] for feed in feeds] == [1] * 8
    built = []
    for name in "ab":
        (tmp_path / name).mkdir()
        openvino_int8.build(Source(text_checkpoint, graph, feeds), tmp_path / name)
        built.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert built[0] == built[1]
    assert sorted(built[0]) == ["model.bin", "model.xml"]
    assert capfd.readouterr().out == ""  # which is --json's


def test_calibration_leaves_the_tokenizer_as_it_was(
    text_checkpoint: Path, train: Dataset, words_dev: Dataset
) -> None:
    model = load(text_checkpoint)
    calibration_feeds(model, train, INPUTS, most=4)
    assert model.tokenizer.truncation is None
    with pytest.raises(FreeholdError, match="is for token-classification; the model is for"):
        calibration_feeds(model, words_dev, INPUTS)


# What is left out.


def only(monkeypatch: pytest.MonkeyPatch, *some: Candidate) -> None:
    monkeypatch.setattr(module, "CANDIDATES", some)


def test_what_cannot_be_had_is_listed_with_its_reason(
    text_checkpoint: Path, text_dev: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _, vino, _, rounded, last = CANDIDATES

    def fail(source: Source, folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise ValueError("no such layer\nmore")

    only(
        monkeypatch,
        plain,
        replace(vino, needs=("no_such_library",)),
        replace(vino, precision="bf16", unfit=lambda: "this processor has no bf16"),
        rounded,
        replace(vino, engine="other", build=fail),
        last,
    )
    report = make(text_checkpoint, tmp_path / "out", dev=text_dev)
    assert report.engine == "onnxruntime"
    assert {one.name: one.reason for one in report.left_out} == {
        "openvino fp32": "no_such_library is not installed (pip install 'freehold[openvino]')",
        "openvino bf16": "this processor has no bf16",
        "openvino int8": "it needs texts to calibrate with, and the version's train file is not at "
        "hand",
        "other fp32": "it could not be built: no such layer",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_named_engine_that_is_not_there_is_an_error(
    text_checkpoint: Path, text_dev: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="There is no engine 'tensorrt'"):
        make(text_checkpoint, tmp_path / "out", engine="tensorrt")
    with pytest.raises(InputError, match="engine torch does not run in int8"):
        make(text_checkpoint, tmp_path / "out", engine="torch", precision="int8")
    with pytest.raises(FreeholdError, match="openvino int8: it needs texts to calibrate with"):
        make(text_checkpoint, tmp_path / "out", engine="openvino", precision="int8", dev=text_dev)
    only(monkeypatch, replace(CANDIDATES[4], needs=("no_such_library",)))
    with pytest.raises(MissingDependencyError, match="openvino int8 needs no_such_library"):
        make(text_checkpoint, tmp_path / "out", engine="openvino", precision="int8", dev=text_dev)
    assert not list(tmp_path.iterdir())


def test_without_dev_texts_only_single_precision_is_tried() -> None:
    def names(*wish: str, scored: bool) -> list[str]:
        return [one.name for one in building.wished(CANDIDATES, *wish, scored=scored)]

    assert names("auto", "auto", scored=False) == ["onnxruntime fp32", "openvino fp32"]
    assert names("openvino", "int8", scored=False) == ["openvino int8"]
    assert names("torch", "auto", scored=True) == ["torch fp32"]


# The last resort.


def test_torch_is_kept_where_there_is_no_graph(
    text_checkpoint: Path, text_dev: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise GraphError("This encoder cannot be written as ONNX: data decides.")

    monkeypatch.setattr(module, "write_graph", fail)
    report = make(text_checkpoint, tmp_path / "out", dev=text_dev)
    assert (report.engine, report.precision, report.agreement) == ("torch", "fp32", 1.0)
    assert {one.reason for one in report.left_out} == {
        "This encoder cannot be written as ONNX: data decides"
    }
    assert len(report.left_out) == 5
    assert {path.suffix for path in report.bundle.iterdir()} == {".safetensors", ".json"}
    assert Engine.open(report.bundle, threads=1).meta.labels == LABELS
    with pytest.raises(GraphError, match="data decides"):
        make(text_checkpoint, tmp_path / "other", engine="openvino")


def test_a_torch_bundle_names_what_it_lacks(
    text_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = make(text_checkpoint, tmp_path / "out", engine="torch")
    monkeypatch.setattr("freehold.serve.torch_last._LIBRARIES", ("no_such_library",))
    with pytest.raises(MissingDependencyError, match="needs no_such_library"):
        Engine.open(report.bundle)


# Measuring.


class Timed:
    """Answers nothing, and takes the seconds that it is told for each row."""

    def __init__(self, clock: ManualClock, seconds: float, real: Engine) -> None:
        self._clock, self._seconds, self._real = clock, seconds, real

    def encode(self, inputs: Any) -> Any:
        return self._real.encode(inputs)

    def run(self, batch: Any) -> Any:
        self._clock.advance(seconds=self._seconds * len(batch))
        return [np.zeros(1, np.float32)] * len(batch)

    rows = run


@pytest.fixture(scope="module")
def engine(whole: ExportReport) -> Engine:
    return Engine.open(whole.bundle, threads=1)


SAMPLE = Sample([Example(row, "where is the bicycle") for row in range(1, 9)])


@pytest.mark.parametrize(("seconds", "kept"), [((1, 2, 3), 0), ((3, 2, 1), 2), ((1.02, 1, 2), 0)])
def test_the_fastest_tuning_is_kept_and_of_near_equals_the_first(
    seconds: tuple[float, ...], kept: int, engine: Engine
) -> None:
    clock = ManualClock()
    ways = [{"threads": number} for number in range(3)]

    def opened(way: Mapping[str, int]) -> Timed:
        return Timed(clock, seconds[way["threads"]], engine)

    assert best_tuning(ways, opened, SAMPLE, clock=clock, seconds=1) == ways[kept]


def test_the_table_of_shapes_ends_with_the_time(engine: Engine) -> None:
    clock = ManualClock()
    runners = [Timed(clock, 1.0, engine), Timed(clock, 0.5, engine)]
    slow, fast = shapes(runners, SAMPLE, longest=64, clock=clock, seconds=1e6)
    assert [(cell.tokens, cell.batch) for cell in slow] == [
        (length, batch) for length in (16, 64) for batch in (1, 8, 32)
    ]
    assert {cell.inputs_per_second for cell in slow} == {1.0}
    assert {cell.inputs_per_second for cell in fast} == {2.0}
    slow, fast = shapes(runners, SAMPLE, longest=64, clock=clock, seconds=8)
    assert [(cell.tokens, cell.batch) for cell in slow] == [(16, 1), (64, 1)]
    assert [(cell.tokens, cell.batch) for cell in fast] == [(16, 1), (64, 1)]
    (one,) = shapes(runners[:1], SAMPLE, longest=10, clock=clock, seconds=1e6)
    assert {cell.tokens for cell in one} == {10}
