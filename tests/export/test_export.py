"""A checkpoint becomes a bundle that answers as torch does, without torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoints import LABELS, TAGS, dataset, sentences

from freehold.errors import (
    ConflictError,
    DataError,
    FreeholdError,
    InputError,
    MissingDependencyError,
    NotFoundError,
)
from freehold.export import bundle as module
from freehold.export import ort_int8
from freehold.export.bundle import export
from freehold.export.graph import check_graph, write_graph
from freehold.export.report import ExportReport, LeftOut
from freehold.export.source import Source
from freehold.export.terminal import render
from freehold.serve.engine import Engine
from freehold.serve.predict import predict
from freehold.tasks.types import Dataset, Example, TaggedExample
from freehold.train.checkpoint import LoadedModel, load
from freehold.train.predict import logits

BLOCKED = ("torch", "transformers", "sklearn", "scipy", "seqeval", "onnx", "onnxscript")


def make(checkpoint: Path, out: Path, **options: Any) -> ExportReport:
    """By ONNX Runtime alone, as it is the quickest to build; test_engines.py has the others."""
    chosen = {"model": "bank", "version": 3, "temperature": 1.25, "dev": None, "threads": 1}
    chosen |= {"engine": "onnxruntime", "seconds": 1.0}
    return export(checkpoint, out, open_engine=Engine.open, **{**chosen, **options})


def make_keeping_graph(checkpoint: Path, dev: Dataset, folder: Path) -> tuple[ExportReport, Path]:
    """A whole export, and a copy of the graph that torch wrote for it."""

    def write(model: LoadedModel, path: Path) -> None:
        write_graph(model, path)
        shutil.copyfile(path, folder / "kept.onnx")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_graph", write)
        return make(checkpoint, folder / "bundles" / "out", dev=dev), folder / "kept.onnx"


@pytest.fixture(scope="module")
def text_export(
    text_checkpoint: Path, text_dev: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportReport, Path]:
    return make_keeping_graph(text_checkpoint, text_dev, tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def words_export(
    words_checkpoint: Path, words_dev: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExportReport, Path]:
    return make_keeping_graph(words_checkpoint, words_dev, tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def text_report(text_export: tuple[ExportReport, Path]) -> ExportReport:
    return text_export[0]


@pytest.fixture(scope="module")
def words_report(words_export: tuple[ExportReport, Path]) -> ExportReport:
    return words_export[0]


@pytest.fixture
def written(
    monkeypatch: pytest.MonkeyPatch,
    text_export: tuple[ExportReport, Path],
    words_export: tuple[ExportReport, Path],
) -> None:
    """Graphs that are written already: torch takes seconds for each, however small the model."""

    def write(model: LoadedModel, path: Path) -> None:
        tagging = model.meta.task == "token-classification"
        shutil.copyfile((words_export if tagging else text_export)[1], path)

    monkeypatch.setattr(module, "write_graph", write)


def document(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return found


def close(found: Sequence[Any], expected: Sequence[Any], tolerance: float = 1e-4) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=tolerance, rtol=0)


def shift_biases(graph: Path, out: Path) -> None:
    """The same graph with other numbers in it."""
    import onnx
    from onnx import numpy_helper

    loaded = onnx.load(graph)
    for weight in loaded.graph.initializer:
        if "layer.0" in weight.name and weight.name.endswith("bias"):
            array = numpy_helper.to_array(weight) + np.float32(3)
            weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    onnx.save(loaded, out)


# What comes out.


def test_a_bundle_is_three_files(text_report: ExportReport) -> None:
    folder = text_report.bundle
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json",
        "model.onnx",
        "tokenizer.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["out"]  # nothing left beside it
    assert folder.stat().st_mode & 0o777 == 0o755
    settings = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    assert settings["truncation"] is None
    assert settings["padding"] is None


def test_bundle_json_says_what_is_in_it(text_report: ExportReport) -> None:
    found = document(text_report.bundle)
    expected = {
        "format": 1,
        "model": "bank",
        "version": 3,
        "task": "text-classification",
        "labels": list(LABELS),
        "temperature": 1.25,
        "max_length": 64,
        "inputs": ["input_ids", "attention_mask"],
        "engine": "onnxruntime",
        "precision": text_report.precision,
    }
    assert {key: found[key] for key in expected} == expected
    for name, digest in found["files"].items():
        content = (text_report.bundle / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert found["dev"]["n"] == 200
    assert found["dev"]["agreement"] == text_report.agreement
    assert [c["precision"] for c in found["measured"]["candidates"]] == ["fp32", "int8"]


def test_the_report_has_the_figures(text_report: ExportReport) -> None:
    size = sum(path.stat().st_size for path in text_report.bundle.iterdir())
    assert text_report.size_mb == pytest.approx(size / 1e6, rel=0.05)
    assert text_report.p50_ms > 0
    assert text_report.inputs_per_second > 0
    assert text_report.torch_score == 1.0
    assert text_report.n == 200
    keys = {"bundle", "engine", "precision", "size_mb", "p50_ms", "inputs_per_second", "agreement"}
    assert keys <= json.loads(json.dumps(text_report.document())).keys()
    kept = next(c for c in text_report.candidates if c.precision == text_report.precision)
    assert kept.accepted


def test_the_graph_names_no_path_of_this_machine(text_report: ExportReport) -> None:
    content = (text_report.bundle / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content


@pytest.mark.slow
def test_the_same_weights_give_the_same_graph(
    words_checkpoint: Path, words_export: tuple[ExportReport, Path], tmp_path: Path
) -> None:
    write_graph(load(words_checkpoint), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == words_export[1].read_bytes()


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_two_exports_differ_in_measurements_alone(
    words_checkpoint: Path, tmp_path: Path, precision: str
) -> None:
    folders = [make(words_checkpoint, tmp_path / n, precision=precision).bundle for n in "ab"]
    first, second = (document(folder) for folder in folders)
    assert first.pop("measured") != second.pop("measured")
    assert first == second  # which holds the files' sha256


def test_the_table_shows_every_candidate_and_marks_the_kept_one(
    words_report: ExportReport, text_checkpoint: Path
) -> None:
    from rich.console import Console

    def shown(report: ExportReport) -> list[str]:
        console = Console(width=120)
        with console.capture() as capture:
            console.print(render(report))
        return capture.get().splitlines()

    lines = shown(replace(words_report, precision="int8"))
    marked = [line.split()[:3] for line in lines if "onnxruntime" in line]
    plain, kept = ["onnxruntime", "fp32"], ["→", "onnxruntime", "int8"]
    assert [row[: len(want)] for row, want in zip(marked, [plain, kept] * 2, strict=True)] == [
        plain,
        kept,
    ] * 2  # in the table of scores, and in that of shapes
    assert "entity F1" in lines[1]
    assert "points below torch" in lines[1]
    assert any("16 tokens x 1 / 8 / 32" in line for line in lines)
    assert "200 dev examples; torch itself scores 1.0000" in " ".join(lines)
    left = LeftOut("openvino", "int8", "nncf is not installed")
    assert "Left out: openvino int8: nncf is not installed." in shown(
        replace(words_report, left_out=(left,))
    )
    bare = replace(words_report, n=0, torch_score=None)
    assert "Without dev texts" in shown(bare)[-1]


def test_int8_weights_leave_room_where_sums_could_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for flags, narrow in [("avx2 avx512f", True), ("avx512_vnni", False), ("avx_vnni", False)]:
        cpuinfo.write_text(f"flags\t: sse {flags} fma\n")
        assert ort_int8.saturates(cpuinfo) is narrow
    assert ort_int8.saturates(tmp_path / "nothing")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert not ort_int8.saturates(cpuinfo)


@pytest.mark.parametrize("kind", ["words_export", "text_export"])
def test_int8_leaves_the_head_as_it_is(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    import onnx

    _, graph = request.getfixturevalue(kind)
    ort_int8.build(Source(tmp_path, graph), tmp_path)
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    assert sum(node.op_type == "MatMulInteger" for node in nodes) > 1
    (name,) = ort_int8.head_products(onnx.load(graph))
    (head,) = [node for node in nodes if node.name == name]
    assert head.op_type == "MatMul"


# As torch has it.


@pytest.mark.usefixtures("written")
def test_texts_are_answered_as_torch_does(text_checkpoint: Path, tmp_path: Path) -> None:
    engine = Engine.open(make(text_checkpoint, tmp_path / "out", precision="fp32").bundle)
    texts = ["", " ", "hello", "it's £5, Anna!", "x " * 300, *map(" ".join, sentences(40, seed=9))]
    expected = logits(text_checkpoint, [Example(1, text) for text in texts])
    close(engine.run(engine.encode(texts)), expected)
    close([engine.run([encoded])[0] for encoded in engine.encode(texts)], expected)


@pytest.mark.usefixtures("written")
def test_words_are_answered_as_torch_does(words_checkpoint: Path, tmp_path: Path) -> None:
    engine = Engine.open(make(words_checkpoint, tmp_path / "out", precision="fp32").bundle)
    given = [["Anna"], ["x"] * 100, ["a\u0301b", "\u200b", "", "中国"], *sentences(40, seed=9)]
    examples = [TaggedExample(1, tuple(words)) for words in given]
    close(engine.run(engine.encode(given)), logits(words_checkpoint, examples))


def test_agreement_with_torch_is_measured(
    text_report: ExportReport, words_report: ExportReport
) -> None:
    for report in (text_report, words_report):
        for candidate in report.candidates:
            assert candidate.agreement is not None
            assert candidate.agreement >= (0.99 if candidate.precision == "fp32" else 0.9)
    assert words_report.metric == "entity_f1"
    assert words_report.torch_score == 1.0


@pytest.mark.usefixtures("written")
def test_int8_is_smaller_and_answers_alike(
    words_checkpoint: Path, words_dev: Dataset, tmp_path: Path
) -> None:
    report = make(words_checkpoint, tmp_path / "out", precision="int8", dev=words_dev)
    assert (report.precision, len(report.candidates)) == ("int8", 1)
    engine = Engine.open(report.bundle)
    assert engine.meta.precision == "int8"
    found = list(predict(engine, words_dev.examples))
    gold = [tag for example in words_dev.examples for tag in getattr(example, "tags", ())]
    tags = [tag for answer in found for tag in answer["tags"]]
    same = [one == other for one, other in zip(tags, gold, strict=True)]
    # Activations are rounded by the batch they are in, so a few answers depend on it.
    assert np.mean(same) == pytest.approx(report.agreement, abs=0.02)
    assert report.agreement is not None
    assert report.agreement > 0.9


# Which one is kept.


@pytest.mark.usefixtures("written")
def test_auto_keeps_the_fastest_within_the_budget(
    text_checkpoint: Path, text_dev: Dataset, tmp_path: Path
) -> None:
    report = make(text_checkpoint, tmp_path / "out", dev=text_dev, budget=1.0)
    fastest = max(report.candidates, key=lambda candidate: candidate.inputs_per_second)
    assert report.precision == fastest.precision
    assert all(candidate.accepted for candidate in report.candidates)


@pytest.mark.usefixtures("written")
def test_auto_keeps_nothing_beyond_the_budget(
    words_checkpoint: Path, words_dev: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A candidate that answers nonsense at great speed."""
    plain, rounded, *_ = module.CANDIDATES

    def break_it(source: Source, folder: Path) -> None:
        shift_biases(source.graph, folder / "model.onnx")

    monkeypatch.setattr(module, "CANDIDATES", (plain, replace(rounded, build=break_it)))
    report = make(words_checkpoint, tmp_path / "out", dev=words_dev)
    assert report.precision == "fp32"
    assert [candidate.accepted for candidate in report.candidates] == [True, False]


@pytest.mark.usefixtures("written")
def test_without_dev_texts_auto_keeps_fp32(text_checkpoint: Path, tmp_path: Path) -> None:
    report = make(text_checkpoint, tmp_path / "out")
    assert (report.precision, report.n) == ("fp32", 0)
    assert (report.agreement, report.dev_score, report.torch_score) == (None, None, None)
    assert document(report.bundle)["dev"] is None


@pytest.mark.usefixtures("written")
def test_a_large_dev_set_is_sampled(
    text_checkpoint: Path, text_dev: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_DEV", 50)
    report = make(text_checkpoint, tmp_path / "out", dev=text_dev, precision="fp32")
    assert report.n == 50


# What is refused.


def test_what_cannot_be_is_said_before_any_work(
    text_checkpoint: Path, words_dev: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ConflictError, match="already there"):
        make(text_checkpoint, tmp_path / "there")
    with pytest.raises(InputError, match="no precision 'fp64'"):
        make(text_checkpoint, tmp_path / "out", precision="fp64")
    with pytest.raises(NotFoundError, match="no trained model"):
        make(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(DataError, match="is for token-classification"):
        make(text_checkpoint, tmp_path / "out", dev=words_dev)
    with pytest.raises(DataError, match="holds no example"):
        make(text_checkpoint, tmp_path / "out", dev=dataset("text-classification", []))
    unlabelled = dataset("text-classification", [Example(7, "hello")])
    with pytest.raises(DataError, match="no label in line 7"):
        make(text_checkpoint, tmp_path / "out", dev=unlabelled)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_a_graph_that_differs_from_torch_is_refused(
    text_checkpoint: Path, text_export: tuple[ExportReport, Path], tmp_path: Path
) -> None:
    shifted = tmp_path / "shifted.onnx"
    shift_biases(text_export[1], shifted)
    with pytest.raises(FreeholdError, match="differ by"):
        check_graph(load(text_checkpoint), shifted)
    check_graph(load(text_checkpoint), text_export[1])


def test_an_export_that_fails_leaves_nothing(
    text_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(model: LoadedModel, path: Path) -> None:
        path.write_bytes(b"half")
        raise FreeholdError("no")

    monkeypatch.setattr(module, "write_graph", fail)
    with pytest.raises(FreeholdError, match="no"):
        make(text_checkpoint, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named(
    text_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.export.graph._LIBRARIES", ("torch", "no_such_library"))
    with pytest.raises(MissingDependencyError, match="needs no_such_library"):
        make(text_checkpoint, tmp_path / "out")


def test_too_large_a_model_is_refused(
    text_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.export.graph._LARGEST", 1000)
    with pytest.raises(FreeholdError, match="GB of weights"):
        write_graph(load(text_checkpoint), tmp_path / "graph.onnx")


# Without torch.


def test_a_bundle_serves_where_nothing_of_training_can_be_imported(
    words_report: ExportReport, text_report: ExportReport
) -> None:
    program = """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in BLOCKED or name.startswith("freehold.train"):
                    raise ImportError(f"{name} is blocked")

        sys.meta_path.insert(0, Blocked())
        import json
        from pathlib import Path
        from freehold.tasks.types import Example
        from freehold.serve.engine import Engine
        from freehold.serve.predict import predict

        answers = []
        for folder in sys.argv[1:]:
            engine = Engine.open(Path(folder), threads=1)
            answers.append(next(predict(engine, [Example(1, "hello Anna, where is Rome?")])))
        print(json.dumps(answers))
    """
    source = textwrap.dedent(program).replace("BLOCKED", repr(BLOCKED))
    done = subprocess.run(
        [sys.executable, "-c", source, str(text_report.bundle), str(words_report.bundle)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    text, words = json.loads(done.stdout)
    assert text["label"] in LABELS
    assert words["tokens"] == ["hello", "Anna", ",", "where", "is", "Rome", "?"]
    assert set(words["tags"]) <= set(TAGS)


# The real encoder.


@pytest.mark.slow
@pytest.mark.shared
def test_minilm_fine_tuned_agrees_with_torch(shared: Path, tmp_path: Path) -> None:
    """One epoch on 240 questions of four kinds; both precisions answer as torch does."""
    from freehold.data.read import read_dataset
    from freehold.train.finetune import fit
    from freehold.train.recipe import Recipe

    kinds = ("lost_or_stolen_card", "exchange_rate", "card_arrival", "top_up_failed")
    train, dev = (
        read_dataset(shared / "data" / "banking77" / f"{name}.jsonl") for name in ("train", "dev")
    )
    few = [
        replace(d, examples=[e for e in d.examples if getattr(e, "label", "") in kinds][:240])
        for d in (train, dev)
    ]
    recipe = Recipe(epochs=1, batch_tokens=512)
    fitted = fit(few[0], few[1], recipe, tmp_path / "checkpoint")
    report = make(fitted.path, tmp_path / "out", dev=few[1])
    for candidate in report.candidates:
        assert candidate.agreement is not None
        assert candidate.agreement >= 0.98
    assert report.candidates[0].agreement == 1.0
    assert report.torch_score == pytest.approx(fitted.score, abs=0.02)
    assert report.torch_score is not None
    assert report.torch_score > 0.8
