"""Runs in MLflow: each way to learn is a run with its figures, and no run without a store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freehold.cli.main import main
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow

WORDS = {"lost": ("gone", "missing"), "refund": ("money", "back"), "repair": ("broken", "flat")}
RECORDS = [{"text": f"my {word} bike", "label": label} for label in WORDS for word in WORDS[label]]


def _toml(folder: Path, uri: str) -> None:
    (folder / "freehold.toml").write_text(
        '[project]\nname = "shop"\n[data]\ntrain = "train.jsonl"\ndev = "dev.jsonl"\n'
        f"[train]\nbase = {json.dumps(str(folder / 'tiny'))}\nthreads = 1\nepochs = 2\n"
        f'max_length = 64\ntracking_uri = "{uri}"\n'
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracking")
    words = [word for both in WORDS.values() for word in both]
    tiny_encoder(folder / "tiny", vocab_words=[*words, "my", "bike"])
    for name, times in (("train", 8), ("dev", 3)):
        lines = [json.dumps(record) for record in RECORDS * times]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    (folder / "corpus.txt").write_text("\n".join(f"my {w} bike {n}" for w in words for n in "1234"))
    return folder


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


class _Runs:
    """What a store has of the experiment shop."""

    def __init__(self, uri: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MLflow's own, of SQLAlchemy
            from mlflow.tracking import MlflowClient

            self.client = MlflowClient(tracking_uri=uri)
            known = self.client.get_experiment_by_name("shop")
            assert known is not None
            self.all = list(self.client.search_runs([known.experiment_id]))

    def named(self, name: str) -> Any:
        (run,) = [run for run in self.all if run.info.run_name == name]
        return run

    def history(self, run: Any, metric: str) -> list[tuple[int, float]]:
        found = self.client.get_metric_history(run.info.run_id, metric)
        return [(one.step, one.value) for one in found]

    def files(self, run: Any, folder: str | None = None) -> list[str]:
        return [one.path for one in self.client.list_artifacts(run.info.run_id, folder)]

    def text(self, run: Any, name: str, folder: Path) -> str:
        path = self.client.download_artifacts(run.info.run_id, name, str(folder))
        return Path(path).read_text(encoding="utf-8")


def test_a_training_is_a_run_with_its_recipe_epochs_cost_digests_and_card(
    project: Path, tmp_path: Path
) -> None:
    _toml(project, "mlruns")
    trained = run_verb(project, "train", "--name", "shop")
    version = next(v for v in run_verb(project, "models")["versions"] if v["model"] == "shop")
    runs = _Runs((project / "mlruns").as_uri())
    run = runs.named("shop@1")
    assert run.info.status == "FINISHED"
    params, tags, metrics = run.data.params, run.data.tags, run.data.metrics
    assert (params["epochs"], params["train_rows"], params["method"]) == ("2", "48", "fine-tune")
    assert float(params["learning_rate"]) > 0  # not given: as the recipe chose it
    assert [step for step, _ in runs.history(run, "loss")] == [1, 2]
    epochs = runs.history(run, "dev_accuracy")
    assert [step for step, _ in epochs] == [1, 2]
    assert max(score for _, score in epochs) == pytest.approx(trained["metrics"]["accuracy"])
    assert all(pace > 0 for _, pace in runs.history(run, "examples_per_second")[:2])
    assert metrics["accuracy"] == pytest.approx(trained["metrics"]["accuracy"])
    assert metrics["accuracy_low"] <= metrics["accuracy"] <= metrics["accuracy_high"]
    assert metrics["train_cost"] == pytest.approx(float(version["cost"]["training"]))
    assert tags["freehold.version"] == "shop@1"
    for file in ("train", "dev"):
        assert tags[f"freehold.data.{file}"] == version["lineage"]["data"][file]["sha256"]
    assert set(runs.files(run)) == {"card.md", "lineage.json"}
    assert json.loads(runs.text(run, "lineage.json", tmp_path)) == version["lineage"]
    card = run_verb(project, "card", "shop@1")["markdown"]
    assert card.startswith(runs.text(run, "card.md", tmp_path))


def test_an_evaluation_joins_the_run_of_its_version(project: Path) -> None:
    _toml(project, "mlruns")
    run_verb(project, "train", "--name", "judged")
    evaluated = run_verb(project, "evaluate", "judged")
    runs = _Runs((project / "mlruns").as_uri())
    run = runs.named("judged@1")
    assert runs.files(run, "evaluation") == ["evaluation/judged@1-dev.html"]
    assert run.data.metrics["dev_accuracy"] == pytest.approx(evaluated["accuracy"])
    assert run.data.metrics["dev_macro_f1"] == pytest.approx(evaluated["macro_f1"])


def test_every_way_to_learn_is_logged(project: Path) -> None:
    _toml(project, "mlruns")
    run_verb(project, "train", "--name", "few", "--few-shot", "--shots", "4")
    run_verb(project, "distill", "few@1", "--name", "small", "--layers", "1", "--epochs", "1")
    corpus = str(project / "corpus.txt")
    run_verb(
        project, "pretrain", "--corpus", corpus, "--name", "base", "--steps", "2", "--looks", "1",
        "--batch-tokens", "128", "--base", str(project / "tiny"),
    )  # fmt: skip
    run_verb(project, "ladder", "--name", "rung", "--rungs", "tfidf,fine-tuned")
    runs = _Runs((project / "mlruns").as_uri())
    assert runs.named("few@1").data.params["method"] == "few-shot"
    small = runs.named("small@1")
    assert small.data.tags["freehold.parent"] == "few@1"
    assert small.data.params["student"] == "layers"
    assert "retained" in small.data.metrics
    base = runs.named("base@1")
    assert base.data.metrics["perplexity"] > 1
    assert base.data.metrics["held_out_loss_before"] > 0
    told = runs.history(base, "held_out_perplexity")
    assert told[-1][1] == pytest.approx(base.data.metrics["perplexity"], rel=0.05)
    assert base.data.tags["freehold.task"] == "masked-lm"
    assert runs.named("rung@1").data.params["method"] == "tfidf"
    assert runs.history(runs.named("rung@2"), "dev_accuracy")
    assert all(run.info.status == "FINISHED" for run in runs.all)


def test_the_trials_of_a_search_are_runs_within_its_own(project: Path) -> None:
    _toml(project, "mlruns")
    found = run_verb(
        project, "search", "--name", "sought", "--trials", "2", "--knobs", "learning_rate"
    )
    runs = _Runs((project / "mlruns").as_uri())
    whole = runs.named("sought@1")
    trials = {
        run.info.run_name: run
        for run in runs.all
        if run.data.tags.get("mlflow.parentRunId") == whole.info.run_id
    }
    assert sorted(trials) == ["trial 0", "trial 1"]
    for trial in found["trials"]:
        run = trials[f"trial {trial['number']}"]
        assert run.info.status == "FINISHED"
        assert run.data.tags["freehold.state"] == trial["state"]
        assert float(run.data.params["learning_rate"]) == trial["knobs"]["learning_rate"]
        assert [score for _, score in runs.history(run, "dev_accuracy")] == trial["scores"]
        assert len(runs.history(run, "loss")) == len(trial["scores"])
    assert whole.data.params["searched"] == "learning_rate"


def test_a_training_that_fails_ends_its_run_with_the_reason(project: Path) -> None:
    _toml(project, "mlruns")
    said = run_verb(
        project, "train", "--name", "lost", "--learning-rate", "1e30", "--precision", "fp32", code=1
    )
    runs = _Runs((project / "mlruns").as_uri())
    run = runs.named("lost")
    assert run.info.status == "FAILED"
    assert run.data.tags["freehold.why"].startswith(said["error"])


def test_a_database_takes_runs_and_keeps_files_beside_itself(project: Path, tmp_path: Path) -> None:
    _toml(project, "")
    uri = f"sqlite:///{tmp_path}/deep/runs.db"
    # In a process of its own, where MLflow is loaded, makes its tables, and could talk of it.
    done = subprocess.run(
        [sys.executable, "-m", "freehold", "train", "--name", "kept", "--json"],
        cwd=project,
        capture_output=True,
        text=True,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "FREEHOLD_DATABASE_URL": ""},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "kept"
    told = [
        line
        for line in done.stderr.splitlines()
        if not line.startswith(("epoch ", "train.", "dev."))
    ]
    assert told == []
    runs = _Runs(uri)
    run = runs.named("kept@1")
    assert run.info.status == "FINISHED"
    assert [step for step, _ in runs.history(run, "loss")] == [1, 2]
    (file,) = (tmp_path / "deep" / "runs.artifacts").rglob("card.md")
    assert file.read_text(encoding="utf-8").startswith("---\n")


def test_without_a_store_nothing_is_logged_and_mlflow_is_not_loaded(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _toml(project, "")
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.chdir(tmp_path)
    run_verb(project, "train", "--name", "quiet")
    run_verb(project, "evaluate", "quiet")
    assert not [name for name in sys.modules if name.partition(".")[0] == "mlflow"]
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_used_costs_one_remark_and_no_training(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _toml(project, "nowhere://store")
    done = CliRunner().invoke(
        main, ["train", "--name", "alone", "--json", "--project", str(project)]
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["version"] == 1
    assert done.stderr.count("are not logged to nowhere://store") == 1
    assert "Traceback" not in done.stderr
