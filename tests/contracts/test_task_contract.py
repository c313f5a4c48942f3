"""What every task keeps: read, trained, evaluated, exported, served and predicted, by the commands
that a user types, with the same answers all the way."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from safetensors.torch import load_file
from samples import SAMPLES, WORDS, Sample

from freehold.cli.main import main
from freehold.data.read import read_dataset
from freehold.errors import FreeholdError
from freehold.export.candidates import CANDIDATES
from freehold.export.source import Source
from freehold.serve.engine import Engine
from freehold.tasks.base import Task
from freehold.tasks.registry import kinds, task_of
from freehold.testing import run_verb, tiny_encoder
from freehold.train.finetune import fit
from freehold.train.predict import logits
from freehold.train.recipe import Recipe

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Case:
    """A project of one task with a trained and exported version, and what the verbs said."""

    task: Task
    sample: Sample
    project: Path
    trained: dict[str, Any]
    exported: dict[str, Any]

    @property
    def checkpoint(self) -> Path:
        return self.project / ".freehold" / "checkpoints" / "shop@1"

    @property
    def bundle(self) -> Path:
        return Path(self.exported["bundle"])


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("tasks") / "tiny", vocab_words=WORDS, positions=32)


@pytest.fixture(scope="module", params=kinds())
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, encoder: Path
) -> Case:
    kind = request.param
    assert kind in SAMPLES, f"give {kind} a sample in tests/contracts/samples.py"
    sample = SAMPLES[kind]
    folder = tmp_path_factory.mktemp(kind)
    assert CliRunner().invoke(main, ["new", "shop", "--dir", str(folder)]).exit_code == 0
    project = folder / "shop"
    toml = project / "freehold.toml"
    text = toml.read_text().replace('"text-classification"', f'"{kind}"')
    text = text.replace("train.csv", "train.jsonl").replace("dev.csv", "dev.jsonl")
    toml.write_text(text.replace('base = "minilm"', f"base = {json.dumps(str(encoder))}"))
    write(project / "data" / "train.jsonl", sample.records(240, seed=1))
    write(project / "data" / "dev.jsonl", sample.records(80, seed=2))
    trained = run_verb(
        project, "train", "--epochs", str(sample.epochs), "--learning-rate", "5e-3",
        "--batch-tokens", "128", "--threads", "1", *sample.knobs,
    )  # fmt: skip
    engine = request.config.getoption("--engine")
    exported = run_verb(project, "export", "shop", "--engine", engine, "--precision", "fp32")
    return Case(task_of(kind), sample, project, trained, exported)


def test_it_learns_and_is_registered_with_its_cost(case: Case) -> None:
    version = run_verb(case.project, "models")["versions"][0]
    assert version["task"] == case.task.kind
    assert version["metrics"][case.task.score_name] >= case.sample.bar
    assert float(version["cost"]["training"]) > 0
    assert version["lineage"]["method"] == "fine-tune"
    assert version["lineage"]["data"]["train"]["rows"] == 240
    bundle = json.loads((case.bundle / "bundle.json").read_text())
    settings = version["metrics"]["settings"]
    assert {"temperature": bundle["temperature"], **bundle["settings"]} == {
        "temperature": 1.0,
        **settings,
    }


def test_the_file_can_be_looked_at(case: Case) -> None:
    done = CliRunner().invoke(
        main,
        ["data", "check", "data/train.jsonl", "--json", "--project", str(case.project)],
        catch_exceptions=False,
    )
    assert done.exit_code in (0, 1), done.output


def test_it_is_evaluated_with_intervals(case: Case) -> None:
    write(case.project / "test.jsonl", case.sample.records(60, seed=3))
    found = run_verb(case.project, "evaluate", "shop", "--data", str(case.project / "test.jsonl"))
    value = found[case.task.score_name]
    low, high = found["intervals"][case.task.score_name]
    assert low <= value <= high
    assert value >= case.sample.bar - 0.15
    assert Path(found["report"]).read_text().startswith("<!DOCTYPE html>")
    again = run_verb(case.project, "evaluate", "shop")
    assert again["n"] == 80


def test_the_bundle_answers_as_torch_does(case: Case) -> None:
    data = read_dataset(case.project / "data" / "dev.jsonl", task=case.task.kind)
    expected = logits(case.checkpoint, data.examples)
    engine = Engine.open(case.bundle, threads=1)
    encoded = engine.encode([example.input for example in data.examples])
    found = [row for start in range(0, 80, 16) for row in engine.run(encoded[start : start + 16])]
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        # Of the spans of an answer only the best: near ties further down may change places.
        rows = 2 if case.task.kind == "question-answering" else len(one)
        np.testing.assert_allclose(one[:rows], other[:rows], atol=2e-3, rtol=1e-3)
    assert case.exported["agreement"] >= 0.99


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_other_engines_answer_alike(case: Case, engine: str, tmp_path: Path) -> None:
    """The quick form of `pytest tests/contracts --engine NAME`."""
    document = json.loads((case.bundle / "bundle.json").read_text())
    if document["engine"] != "onnxruntime":
        pytest.skip("the bundle has no graph to build another from")
    (candidate,) = [one for one in CANDIDATES if one.name == f"{engine} fp32"]
    candidate.build(Source(case.checkpoint, case.bundle / "model.onnx"), tmp_path)
    shutil.copyfile(case.bundle / "tokenizer.json", tmp_path / "tokenizer.json")
    files = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }
    (tmp_path / "bundle.json").write_text(
        json.dumps({**document, "engine": engine, "files": files})
    )
    rows = case.sample.records(40, seed=5)
    asked = write(tmp_path / "asked.jsonl", [case.sample.unlabelled(row) for row in rows])
    given = read_dataset(asked, task=case.task.kind, labelled=False)
    inputs = [example.input for example in given.examples]
    one, other = (Engine.open(folder, threads=1) for folder in (case.bundle, tmp_path))
    _same(
        [answer.document() for answer in _answers(other, inputs)],
        [answer.document() for answer in _answers(one, inputs)],
    )


def test_served_and_predicted_answers_are_the_engine_s(case: Case) -> None:
    rows = case.sample.records(12, seed=4)
    engine = Engine.open(case.bundle, threads=1)
    asked = write(case.project / "new.jsonl", [case.sample.unlabelled(row) for row in rows])
    run_verb(case.project, "predict", "shop", "--data", str(asked), "--out", str(asked) + ".out")
    lines = [json.loads(line) for line in Path(str(asked) + ".out").read_text().splitlines()]
    given = read_dataset(asked, task=case.task.kind, labelled=False)
    answers = _answers(engine, [example.input for example in given.examples])
    _same(lines, [answer.document() for answer in answers])

    run_verb(case.project, "promote", "shop@1")
    key = run_verb(case.project, "customer", "add", "North", "--plan", "starter")["key"]
    with _server(case.project) as url, httpx.Client(base_url=url, timeout=30) as http:
        http.headers["Authorization"] = f"Bearer {key}"
        described = http.get("/openapi.json").json()
        body = {"inputs": [case.sample.inputs(row) for row in rows]}
        reply = http.post("/models/shop", json=body)
        wrong = http.post("/models/shop", json={"inputs": 5})
        whole = [{"inputs": inputs} for inputs, _ in case.task.wire.examples]
        bodies = [{"inputs": case.sample.inputs(rows[0])}, *whole]
        replies = [http.post("/models/shop", json=one) for one in bodies]
    assert reply.status_code == 200, reply.text
    request, answer = _schemas(described)
    assert not request.is_valid({"inputs": 5})
    for sent, got in zip([body, *bodies], [reply, *replies], strict=True):
        request.validate(sent)
        assert got.status_code == 200, got.text
        answer.validate(got.json())
    inputs, form = case.task.inputs(body["inputs"])
    expected = case.task.render(_answers(engine, inputs), case.task.parameters(), form=form)
    _same(reply.json(), json.loads(json.dumps(expected)))
    assert wrong.status_code == 422
    assert "inputs" in wrong.json()["error"]


def test_a_file_of_another_task_is_refused(case: Case, tmp_path: Path) -> None:
    other = "question-answering" if case.task.kind != "question-answering" else "regression"
    file = write(tmp_path / "other.jsonl", SAMPLES[other].records(4, seed=0))
    answer = run_verb(case.project, "train", "--dev", str(file), code=1)
    assert "other.jsonl" in answer["error"]
    assert "Traceback" not in answer["error"]


def test_a_stopped_run_goes_on_to_the_same_weights(
    case: Case, encoder: Path, tmp_path: Path
) -> None:
    train, dev = (
        read_dataset(case.project / "data" / f"{name}.jsonl", task=case.task.kind)
        for name in ("train", "dev")
    )
    recipe = Recipe(base=str(encoder), epochs=2, learning_rate=5e-3, batch_tokens=512, threads=1)
    fit(train, dev, recipe, tmp_path / "whole")
    calls = [0]

    def stop() -> bool:
        calls[0] += 1
        return calls[0] > 4

    assert fit(train, dev, recipe, tmp_path / "parts", should_stop=stop).interrupted
    fit(train, dev, recipe, tmp_path / "parts", resume=True)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_an_example_without_a_target_is_named(case: Case, encoder: Path, tmp_path: Path) -> None:
    data = read_dataset(case.project / "data" / "dev.jsonl", task=case.task.kind)
    rows = [case.sample.unlabelled(row) for row in case.sample.records(3, seed=0)]
    asked = write(tmp_path / "asked.jsonl", rows)
    bare = read_dataset(asked, task=case.task.kind, labelled=False)
    with pytest.raises(FreeholdError, match=r"asked\.jsonl, row 1"):
        fit(bare, data, Recipe(base=str(encoder)), tmp_path / "out")


def _schemas(described: dict[str, Any]) -> list[Draft202012Validator]:
    """Of the request and the answer of the one model that this document is about."""
    operation = described["paths"]["/models/{name}"]["post"]
    return [
        Draft202012Validator(
            {**part["content"]["application/json"]["schema"], "components": described["components"]}
        )
        for part in (operation["requestBody"], operation["responses"]["200"])
    ]


def _answers(engine: Engine, inputs: list[Any]) -> list[Any]:
    encoded = engine.encode(inputs)
    return [engine.answer(e, row) for e, row in zip(encoded, engine.run(encoded), strict=True)]


def _same(found: Any, expected: Any) -> None:
    """Equal but for rounding: batches of other companions add up in another order."""
    assert type(found) is type(expected) or {type(found), type(expected)} <= {int, float}
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            _same(found[key], expected[key])
    elif isinstance(found, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _same(one, other)
    elif isinstance(found, float):
        assert found == pytest.approx(expected, abs=2e-4)
    else:
        assert found == expected


@contextmanager
def _server(project: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "freehold", "serve", "--port", "0", "--json"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "FREEHOLD_DATABASE_URL": ""},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield json.loads(line)["url"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors.decode()
    assert b"Traceback" not in errors


def test_its_card_says_what_it_scores_and_how_to_ask_it(case: Case) -> None:
    found = run_verb(case.project, "card", "shop@1")
    score = case.task.score_name
    low, high = case.trained["metrics"]["intervals"][score]
    assert low <= case.trained["metrics"][score] <= high
    assert f" (95 % interval {low:.4f} to {high:.4f}) on 80 examples" in found["markdown"]
    assert found["metadata"]["metrics"] == [score]
    asked, _ = case.task.wire.examples[0]
    (line,) = [line for line in found["markdown"].splitlines() if line.startswith("  -d ")]
    body = shlex.split(line)[1]
    assert json.loads(body) == {"inputs": asked}
    train = read_dataset(case.project / "data" / "train.jsonl", task=case.task.kind)
    assert ("in the training data |" in found["markdown"]) == bool(train.labels())
    assert ("\n- Labels: " in found["markdown"].partition("## What it cost")[0]) == (
        bool(train.labels()) and case.task.kind != "token-classification"
    )
