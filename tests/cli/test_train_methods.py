"""`freehold train` by other ways than fine-tuning: few examples, another version's encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freehold.cli.data import _encoder
from freehold.cli.main import main
from freehold.project_file import load_project
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow


def _versions(project: Path) -> dict[str, dict[str, Any]]:
    found = run_verb(project, "models")["versions"]
    return {f"{one['model']}@{one['version']}": one for one in found}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("methods")
    encoder = tiny_encoder(folder / "encoder", positions=128)
    words = ["new", "shop", "--dir", str(folder)]
    assert CliRunner().invoke(main, words).exit_code == 0
    lines = [
        f'{{"text": "where is my {w} {n}", "label": "{w}"}}'
        for n in range(9)
        for w in ("bike", "bill")
    ]
    (folder / "shop" / "data" / "small.jsonl").write_text("\n".join(lines))
    run_verb(
        folder / "shop", "train", "--few-shot", "--shots", "4", "--base", str(encoder),
        "--epochs", "2", "--threads", "1",
    )  # fmt: skip
    return folder / "shop"


def test_a_few_shot_version_is_charged_for_its_shots_and_can_be_exported(project: Path) -> None:
    version = _versions(project)["shop@1"]
    labels = len(version["labels"])
    assert version["lineage"]["method"] == "few-shot"
    assert version["lineage"]["data"]["train"]["rows"] <= 4 * labels
    assert version["metrics"]["accuracy"] > 1.5 / labels
    run_verb(project, "export", "shop@1", "--engine", "onnxruntime", "--precision", "fp32")


def test_a_version_hands_its_encoder_to_another_task(project: Path) -> None:
    small = str(project / "data" / "small.jsonl")
    made = run_verb(
        project, "train", "--from", "shop@1", "--name", "parts", "--data", small, "--dev", small,
        "--epochs", "1", "--threads", "1",
    )  # fmt: skip
    assert (made["model"], made["version"]) == ("parts", 1)
    version = _versions(project)["parts@1"]
    lineage = version["lineage"]
    assert version["labels"] == ["bike", "bill"]
    assert (lineage["method"], lineage["parent"], lineage["base"]) == (
        "transfer", "shop@1", "shop@1",
    )  # fmt: skip


def test_labels_are_reviewed_by_a_version_of_the_project(project: Path) -> None:
    files = _encoder(load_project(project / "freehold.toml"), "shop@1")
    assert files.name == "shop@1"
    assert (files.folder / "model.safetensors").is_file()


def test_a_source_is_one_version_that_there_is(project: Path) -> None:
    missing = run_verb(project, "train", "--from", "shop@9", code=1)
    assert "not 9" in missing["error"]
    both = CliRunner().invoke(
        main, ["train", "--from", "shop@1", "--base", "minilm", "--project", str(project)]
    )
    assert both.exit_code == 2
    assert "leave out --base" in both.output


def test_few_shot_is_refused_for_tags(project: Path, tmp_path: Path) -> None:
    tagged = tmp_path / "tags.jsonl"
    tagged.write_text('{"tokens": ["in", "Rome"], "tags": ["O", "B-LOC"]}\n' * 4)
    answer = run_verb(
        project, "train", "--few-shot", "--task", "token-classification", "--data", str(tagged),
        "--dev", str(tagged), "--from", "shop@1", code=1,
    )  # fmt: skip
    assert "one label a text" in answer["error"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--workers", "2"), 2, "--workers is for --runner ray"),
        (("--runner", "ray", "--workers", "0"), 2, "0 is not in the range"),
        (("--runner", "ray", "--few-shot"), 1, "Few-shot learning compares all texts of a batch"),
    ],
)
def test_what_workers_cannot_do_is_a_sentence(
    project: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = CliRunner().invoke(main, ["train", *words, "--project", str(project)])
    assert done.exit_code == code
    assert said in " ".join(done.output.split())
