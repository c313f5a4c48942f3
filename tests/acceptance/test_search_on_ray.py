"""A search on a local Ray with two workers ends as one in this process does."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from freehold.app import open_app
from freehold.project_file import load_project
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.timeout(900)  # Ray's own start may take a minute on a busy machine


def test_a_search_of_two_workers_ends_as_one_in_this_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = tiny_encoder(tmp_path / "encoder")
    monkeypatch.delenv("FREEHOLD_DATABASE_URL", raising=False)
    temporary = tempfile.mkdtemp(prefix="t-")
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    rows = "".join(f"my bike {w},{w}\n" for w in ("lost", "refund", "repair", "price"))
    for name, times in (("train", 6), ("dev", 2)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows * times)
    (tmp_path / "freehold.toml").write_text(
        '[project]\nname = "bank"\n[data]\ntrain = "train.csv"\ndev = "dev.csv"\n'
        f'[train]\nbase = "{encoder}"\nepochs = 2\nthreads = 1\n'
    )
    words = ("search", "--trials", "3", "--knobs", "learning_rate,dropout")
    found = run_verb(tmp_path, *words, "--runner", "ray", "--workers", "2")
    alone = run_verb(tmp_path, *words)
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 3
    assert all(len(trial["scores"]) == 2 for trial in found["trials"])
    assert found["best"]["score"] == max(trial["score"] for trial in found["trials"])
    # The first two are drawn before any has ended, so they are the same; and so are their scores.
    for here, there in list(zip(alone["trials"], found["trials"], strict=True))[:2]:
        assert there["knobs"] == here["knobs"]
        assert there["scores"] == pytest.approx(here["scores"])
    with open_app(load_project(tmp_path / "freehold.toml")) as app:
        version = app.version("bank@1")
        assert version.lineage["search"]["trial"] == found["best"]["number"]
        assert (app.registry.checkpoint(version) / "model.safetensors").is_file()
    assert list(Path(temporary).glob("fh-*")) == []
    shutil.rmtree(temporary)
