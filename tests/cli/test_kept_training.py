"""A database that is gone when a training ends takes nothing with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freehold.cli.main import main
from freehold.errors import StoreError
from freehold.registry import Registry
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    tiny_encoder(tmp_path / "encoder", positions=128)
    assert CliRunner().invoke(main, ["new", "shop", "--dir", str(tmp_path)]).exit_code == 0
    lines = [
        f'{{"text": "where is my {w} {n}", "label": "{w}"}}'
        for n in range(12)
        for w in ("bike", "bill")
    ]
    (tmp_path / "shop" / "data" / "small.jsonl").write_text("\n".join(lines))
    return tmp_path / "shop"


def words_of(project: Path, way: str) -> list[str]:
    encoder, small = str(project.parent / "encoder"), str(project / "data" / "small.jsonl")
    if way == "pretrain":
        return ["pretrain", "--corpus", small, "--base", encoder, "--steps", "4"]
    if way == "distill":
        return ["distill", encoder, "--layers", "1", "--corpus", small, "--epochs", "2"]
    more = ["--few-shot"] if way == "few-shot" else []
    return ["train", *more, "--base", encoder, "--data", small, "--dev", small, "--epochs", "2"]


@pytest.mark.parametrize("way", ["train", "few-shot", "distill", "pretrain"])
def test_what_could_not_be_registered_is_by_resume(
    project: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    words = [*words_of(project, way), "--name", "kept", "--threads", "1"]

    def gone(*_: Any, **__: Any) -> Any:
        raise StoreError("The database is gone.")

    with monkeypatch.context() as lost:
        lost.setattr(Registry, "add", gone)
        done = CliRunner().invoke(main, [*words, "--project", str(project)])
    assert done.exit_code == 1
    assert "The database is gone." in done.output
    assert "with --resume it is registered" in done.output
    runs = project / ".freehold" / "runs"
    assert any(runs.iterdir())

    made = run_verb(project, *words, "--resume")
    assert (made["model"], made["version"]) == ("kept", 1)
    left = [file.name for file in runs.iterdir() if not file.name.endswith(".lock")]
    assert left == []
    again = run_verb(project, *words, "--resume", code=1)
    assert "nothing" in again["error"] or "no" in again["error"]
