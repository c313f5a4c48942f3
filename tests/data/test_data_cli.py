"""`freehold data check`: tables for a person, one document for a program, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from freehold.cli.data import command

ROWS = [f"hello number {n} how are you,greeting" for n in range(10)] + [
    f"what does ticket {n * 7919} cost,price" for n in range(10)
]


def csv(path: Path, rows: list[str], header: str = "text,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["check", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    toml = '[project]\nname = "bank"\n[data]\ntrain = "a.csv"\ndev = "b.csv"\ntext = "body"\n'
    (folder / "freehold.toml").write_text(toml, encoding="utf-8")
    csv(folder / "a.csv", [f"ignored,{row}" for row in ROWS], "text,body,label")
    csv(folder / "b.csv", ["ignored,some other thing,price"], "text,body,label")
    return folder


def test_a_clean_file(tmp_path: Path) -> None:
    result = run(csv(tmp_path / "a.csv", ROWS), "--project", tmp_path)
    assert result.exit_code == 0
    assert "text, label (inferred)" in result.output
    assert "Ready to learn from" in result.output
    assert "█" in result.output


def test_errors_make_the_exit_code_1_and_all_rows_are_in_the_document(tmp_path: Path) -> None:
    train = csv(tmp_path / "a.csv", [*ROWS, *[",price"] * 9])
    result = run(train, "--dev", csv(tmp_path / "b.csv", ROWS), "--project", tmp_path)
    assert result.exit_code == 1
    assert "rows 22, 23, 24, 25, 26 and 4 more" in " ".join(result.output.split())
    result = run(train, "--json", "--project", tmp_path)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    (empty,) = [item for item in document["problems"] if item["kind"] == "empty_text"]
    assert empty["rows"] == list(range(22, 31))
    assert document["splits"]["train"]["columns"] == {"text": "text", "label": "label"}


def test_a_project_names_the_files_and_columns(project: Path) -> None:
    result = run("--project", project, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert list(document["splits"]) == ["train", "dev"]
    assert document["splits"]["train"]["columns"]["text"] == "body"
    result = run(project / "a.csv", "--text", "text", "--project", project, "--json")
    assert json.loads(result.stdout)["splits"]["train"]["columns"]["text"] == "text"


def test_a_bad_file_is_a_sentence(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", ["a,x", "b"])
    result = run(path, "--project", tmp_path)
    assert result.exit_code == 1
    assert "line 3: 1 columns where the header has 2" in " ".join(result.stderr.split())
    result = run(path, "--project", tmp_path, "--json")
    assert "line 3" in json.loads(result.stdout)["error"]


def test_without_files_and_without_a_project(tmp_path: Path) -> None:
    result = run("--project", tmp_path)
    assert result.exit_code == 1
    assert "freehold.toml" in result.stderr


def test_labels_from_the_file_are_not_markup(tmp_path: Path) -> None:
    rows = [row.replace("greeting", "[red]x[/nope]") for row in ROWS]
    result = run(csv(tmp_path / "a.csv", rows), "--project", tmp_path)
    assert result.exit_code == 0
    assert "[red]x[/nope]" in result.output
