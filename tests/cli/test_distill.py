"""`freehold distill` by the command line: a version with its parent, that exports and answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from freehold.cli.main import main
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of a tagger, with a teacher of two layers."""
    folder = tmp_path_factory.mktemp("distill")
    encoder = tiny_encoder(folder / "encoder", positions=128)
    words = ["new", "bank", "--dir", str(folder), "--template", "tagging"]
    assert CliRunner().invoke(main, words).exit_code == 0
    for name in ("train", "dev"):
        file = folder / "bank" / "data" / f"{name}.conll"
        file.write_text("\n\n".join(file.read_text().split("\n\n")[:30]) + "\n")
    run_verb(
        folder / "bank", "train", "--base", str(encoder), "--epochs", "1",
        "--learning-rate", "3e-3", "--threads", "1",
    )  # fmt: skip
    return folder / "bank"


def test_a_student_is_a_version_that_answers(project: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("where is my parcel\nI was charged twice, in Paris.\n")
    made = run_verb(
        project, "distill", "bank@1", "--layers", "1", "--corpus", str(corpus), "--augment", "1",
        "--epochs", "1", "--threads", "1",
    )  # fmt: skip
    assert (made["model"], made["version"], made["teacher"]) == ("bank", 2, "bank@1")
    assert made["layers"] == [1]
    versions = run_verb(project, "models")["versions"]
    (version,) = [v for v in versions if v["version"] == 2]
    lineage = version["lineage"]
    assert (lineage["method"], lineage["parent"], lineage["base"]) == ("distil", "bank@1", "bank@1")
    assert lineage["distil"]["layers"] == [1]
    assert lineage["data"]["corpus 1"]["rows"] == 2
    (teacher,) = [v for v in versions if v["version"] == 1]
    figures, before = version["metrics"], teacher["metrics"]["entity_f1"]
    assert figures["teacher_entity_f1"] == pytest.approx(before)
    assert figures["retained"] == (figures["entity_f1"] / before if before else 0)
    assert float(version["cost"]["training"]) > 0
    run_verb(project, "export", "bank@2", "--engine", "onnxruntime", "--precision", "fp32")
    answers = tmp_path / "answers.jsonl"
    run_verb(project, "predict", "bank@2", "--data", str(corpus), "--out", str(answers))
    assert len(answers.read_text().splitlines()) == 2


def test_an_encoder_without_a_task_has_a_student_too(project: Path, tmp_path: Path) -> None:
    encoder = str(project.parent / "encoder")
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("".join(f"text number {n} of the corpus\n" for n in range(24)))
    made = run_verb(
        project, "distill", encoder, "--layers", "1", "--corpus", str(corpus), "--name", "small",
        "--epochs", "1", "--threads", "1",
    )  # fmt: skip
    assert (made["model"], made["version"], made["task"]) == ("small", 1, "sentence-embedding")
    (version,) = [v for v in run_verb(project, "models")["versions"] if v["model"] == "small"]
    assert version["lineage"]["base"] == encoder
    assert version["lineage"]["parent"] is None
    assert float(version["cost"]["labelling"]) == 0
    wrong = CliRunner().invoke(main, ["distill", encoder, "--project", str(project)])
    assert wrong.exit_code == 2
    assert "give one file with --corpus" in wrong.output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (lambda path: ["bank@1", "--layers", "5"], "teacher has 2"),
        (lambda path: ["bank@7"], "not 7"),
        (lambda path: ["bank@1", "--layers", "1", "--hidden", "-1"], "hidden is -1.0"),
        (lambda path: ["bank@1", "--layers", "1", "--corpus", str(path)], "is empty"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    words: Callable[[Path], list[str]], sentence: str, project: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    answer = run_verb(project, "distill", *words(empty), code=1)
    assert sentence in answer["error"]
