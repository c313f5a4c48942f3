"""`freehold search` in a project: the version it ends as, its page, Ctrl-C and going on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from freehold.app import open_app
from freehold.cli.main import main
from freehold.project_file import load_project
from freehold.testing import tiny_encoder
from freehold.train.search.studies import Studies

LABELS = {"lost": ("gone", "missing"), "refund": ("money", "back"), "repair": ("broken", "flat")}
WORDS = [word for words in LABELS.values() for word in words]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a tiny encoder and texts that it learns in an instant."""
    tiny_encoder(tmp_path / "tiny", vocab_words=[*WORDS, "bike", "my"])
    rows = [f"my bike {word},{label}" for label, words in LABELS.items() for word in words]
    for name, times in (("train", 6), ("dev", 2)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + "\n".join(rows * times) + "\n")
    (tmp_path / "freehold.toml").write_text(
        f'[project]\nname = "bank"\n[data]\ntrain = "train.csv"\ndev = "dev.csv"\n'
        f'[train]\nbase = "{tmp_path / "tiny"}"\nepochs = 2\nthreads = 1\n'
        '[costs]\nmachine_per_hour = "3600"\n'
    )
    monkeypatch.delenv("FREEHOLD_DATABASE_URL", raising=False)
    return tmp_path


def _search(project: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["search", "--project", str(project), "--json", *words])


def _document(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_the_best_trial_becomes_a_version_that_is_charged_with_the_search(project: Path) -> None:
    found = _document(_search(project, "--trials", "3", "--knobs", "learning_rate,dropout"))
    assert found["study"] == "bank-1"
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 3
    assert found["best"]["score"] == max(trial["score"] for trial in found["trials"])
    with open_app(load_project(project / "freehold.toml")) as app:
        version = app.version("bank@1")
        study = Studies(app.database, app.clock).get("bank-1")
        checkpoint = app.registry.checkpoint(version)
    assert version.lineage["method"] == "search"
    assert version.lineage["search"]["trial"] == found["best"]["number"]
    assert version.lineage["search"]["trials"] == {"complete": 3}
    assert version.lineage["recipe"]["dropout"] == found["best"]["knobs"]["dropout"]
    assert version.metrics["accuracy"] == found["best"]["score"]
    assert float(version.train_cost) == pytest.approx(float(found["cost"]["search"]), abs=0.01)
    assert float(version.train_cost) > sum(trial["seconds"] for trial in found["trials"]) * 0.99
    assert study.version == 1
    assert (checkpoint / "model.safetensors").is_file()
    assert not (project / ".freehold" / "searches" / "bank-1").exists()
    page = Path(found["report"]).read_text(encoding="utf-8")
    assert page.count('class="complete"') == 2  # the best one has a class of its own
    assert "http:" not in page
    assert "https:" not in page


def test_a_study_is_gone_on_with_for_its_own_model_and_columns(project: Path) -> None:
    with open_app(load_project(project / "freehold.toml")) as app:
        settings = {"choice of columns": [{}, {}], "space": {}, "pruner": "median"}
        Studies(app.database, app.clock).create("claims-1", "claims", settings)
    words = ("--trials", "1", "--resume", "--study", "claims-1")
    other = _document(_search(project, *words, "--name", "bank"), code=1)
    assert other["error"] == "The study claims-1 is of claims, not of bank."
    changed = _document(_search(project, *words), code=1)
    assert "had another choice of columns;" in changed["error"]


def test_ctrl_c_keeps_what_ended_and_the_search_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freehold.train import finetune

    fit, runs = finetune.fit, []

    def interrupted(*args: Any, **options: Any) -> Any:
        runs.append(1)
        tell = options["on_progress"]

        def pressed(progress: Any) -> None:
            tell(progress)
            if len(runs) == 2 and progress.score is not None:
                os.kill(os.getpid(), signal.SIGINT)

        return fit(*args, **{**options, "on_progress": pressed})

    monkeypatch.setattr(finetune, "fit", interrupted)
    stopped = _document(_search(project, "--trials", "3"), code=1)
    assert stopped["interrupted"]
    assert stopped["version"] is None
    assert [trial["state"] for trial in stopped["trials"]] == ["complete", "failed"]
    folder = project / ".freehold" / "searches" / "bank-1"
    assert [path.name for path in folder.iterdir()] == ["trial-0"]

    other = _search(project, "--trials", "3", "--resume", "--seed", "4")
    assert other.exit_code == 1
    assert "had another recipe" in json.loads(other.stdout)["error"]
    done = _document(_search(project, "--trials", "3", "--resume"))
    states = [trial["state"] for trial in done["trials"]]
    assert states == ["complete", "failed", "complete", "complete"]
    assert done["version"] == 1
    again = _document(_search(project, "--trials", "3", "--resume"))
    assert again["version"] == 1
    assert len(again["trials"]) == 4


def test_a_budget_too_small_for_an_epoch_is_a_sentence(project: Path) -> None:
    result = _search(project, "--minutes", "0.0001")
    assert result.exit_code == 1
    assert "before the first epoch" in json.loads(result.stdout)["error"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Give the search a budget"),
        (["--money", "much"], 2, "is not an amount"),
        (["--trials", "1", "--resume"], 1, "no search of bank to go on with"),
        (["--trials", "1", "--resume", "--study", "x"], 1, "There is no study 'x'"),
        (["--trials", "1", "--knobs", "speed"], 1, "no range for the knob 'speed'"),
        (["--trials", "1", "--space", "none.toml"], 1, "none.toml cannot be read"),
    ],
)
def test_bad_options_are_a_sentence(project: Path, words: list[str], code: int, said: str) -> None:
    result = _search(project, *words)
    assert result.exit_code == code
    assert said in result.output
