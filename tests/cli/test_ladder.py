"""`freehold ladder` by the command line: every rung a version that can be promoted and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow

KEYS = ("lost", "refund", "repair", "price")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    tiny_encoder(tmp_path / "encoder", vocab_words=[*KEYS, "please", "bike"], positions=128)
    (tmp_path / "freehold.toml").write_text('[project]\nname = "bank"\n')
    rows = [
        json.dumps({"text": f"please {key} {'bike ' * (n % 5)}{n}", "label": key})
        for n in range(40)
        for key in KEYS
    ]
    (tmp_path / "all.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def climb(project: Path, *words: str, code: int = 0) -> dict[str, Any]:
    return run_verb(
        project, "ladder", "--data", str(project / "all.jsonl"), "--base",
        str(project / "encoder"), "--epochs", "1", "--threads", "1", *words, code=code,
    )  # fmt: skip


def test_every_rung_is_a_version_that_answers(project: Path) -> None:
    found = climb(project)
    assert found["failed"] == {}
    assert [rung["rung"] for rung in found["rungs"]] == [
        "tfidf", "static", "frozen", "few-shot", "fine-tuned", "distilled",
    ]  # fmt: skip
    assert found["n"] == 32
    assert found["rungs"][0]["score"] == 1
    for rung in found["rungs"]:
        assert rung["interval"][0] <= rung["score"] <= rung["interval"][1]
        assert float(rung["serving"]["cost_per_1000"]) > 0
        assert rung["training"]["seconds"] > 0
    assert "<svg" in Path(found["report"]).read_text()
    versions = {v["version"]: v for v in run_verb(project, "models")["versions"]}
    assert versions[6]["lineage"]["parent"] == "bank@5"
    assert {v["lineage"]["method"] for v in versions.values()} == {
        rung["rung"] for rung in found["rungs"]
    }
    chosen = next(r for r in found["rungs"] if r["rung"] == found["recommended"])
    run_verb(project, "promote", chosen["version"])
    (project / "new.txt").write_text("please refund bike\n")
    out = project / "out.jsonl"
    run_verb(project, "predict", "bank@1", "--data", str(project / "new.txt"), "--out", str(out))
    assert json.loads(out.read_text())["label"] == "refund"
    # The same file and seed are divided the same way, and the files are the versions' own.
    again = climb(project, "--rungs", "tfidf")
    assert again["rungs"][0]["score"] == found["rungs"][0]["score"]
    data = [v["lineage"]["data"] for v in run_verb(project, "models")["versions"]]
    assert data[0] == data[6]


def test_a_rung_that_cannot_be_climbed_does_not_stop_the_others(project: Path) -> None:
    found = climb(project, "--rungs", "distilled,tfidf", code=1)
    assert [rung["rung"] for rung in found["rungs"]] == ["tfidf"]
    assert "fine-tuned" in found["failed"]["distilled"]


def test_what_there_is_not_is_a_sentence(project: Path) -> None:
    assert "tfidf" in climb(project, "--rungs", "tfdif", code=1)["hint"]


def test_a_stop_keeps_the_rungs_that_are_finished(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("freehold.train.frozen.fit_frozen", stopped)
    found = climb(project, "--rungs", "tfidf,frozen,fine-tuned", code=1)
    assert [rung["rung"] for rung in found["rungs"]] == ["tfidf"]
    assert found["skipped"] == ["frozen", "fine-tuned"]
    assert found["recommended"] == "tfidf"
    assert not list((project / ".freehold" / "runs").glob("bank.ladder"))
