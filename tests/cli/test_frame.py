"""The command line's frame: answers at once, one document, one sentence, exit codes 0, 1 and 2."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from freehold.cli.main import VERBS, main

HEAVY = (
    "torch", "transformers", "sklearn", "scipy", "onnx", "onnxruntime", "pyarrow", "openpyxl",
    "sqlalchemy", "alembic", "fastapi", "uvicorn", "reportlab", "numpy", "pydantic",
)  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "import freehold",
        "from freehold.cli.main import main\nmain(['--help'], standalone_mode=False)",
    ],
)
def test_importing_and_help_load_nothing_heavy(code: str) -> None:
    check = f"import sys\n{code}\nprint('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED []"


def test_help_names_every_verb() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for name in VERBS:
        assert name in result.output


def _leaves(name: str, command: click.Command) -> list[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        return [
            leaf
            for child, sub in command.commands.items()
            for leaf in _leaves(f"{name} {child}", sub)
        ]
    return [(name, command)]


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_and_json(name: str) -> None:
    command: click.Command = importlib.import_module(f"freehold.cli.{VERBS[name][0]}").command
    for leaf, verb in _leaves(name, command):
        options = {option for parameter in verb.params for option in parameter.opts}
        assert {"--json", "--project"} <= options, leaf
        assert verb.help, leaf


def test_wrong_usage_is_2() -> None:
    assert CliRunner().invoke(main, ["predict"]).exit_code == 2
    assert CliRunner().invoke(main, ["no-such-verb"]).exit_code == 2


def test_an_error_is_one_sentence_and_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["models", "--project", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("freehold: There is no freehold.toml")
    assert "freehold new" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_with_json_is_one_document(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["models", "--json", "--project", str(tmp_path)])
    assert result.exit_code == 1
    assert set(json.loads(result.stdout)) == {"error", "hint"}


def test_new_makes_a_project_and_refuses_to_overwrite(tmp_path: Path) -> None:
    words = ["new", "bank", "--dir", str(tmp_path), "--json"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    made = json.loads(result.stdout)
    assert "freehold.toml" in made["files"]
    for file in made["files"]:
        assert (tmp_path / "bank" / file).is_file()
    again = CliRunner().invoke(main, words)
    assert again.exit_code == 1
    assert "already there" in json.loads(again.stdout)["error"]


def test_a_bad_name_leaves_nothing(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["new", "../bank", "--dir", str(tmp_path)])
    assert result.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_models_of_a_new_project_is_empty(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["new", "bank", "--dir", str(tmp_path)])
    result = CliRunner().invoke(main, ["models", "--json", "--project", str(tmp_path / "bank")])
    assert json.loads(result.stdout) == {"versions": []}


def test_a_dev_file_of_another_task_is_refused_before_training(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["new", "bank", "--dir", str(tmp_path)])
    project = tmp_path / "bank"
    (project / "other.csv").write_text("text,label\nhello there,a\nbye now,b\nhi again,a\n")
    words = ["train", "--data", str(project / "other.csv"), "--project", str(project)]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code == 1
    assert "dev.csv has none of the labels of other.csv" in json.loads(result.stdout)["error"]
    assert not (project / ".freehold" / "runs").exists()


def test_a_missing_library_is_a_sentence(tmp_path: Path) -> None:
    CliRunner().invoke(main, ["new", "bank", "--dir", str(tmp_path)])
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('gone', name='torch')\n")
    done = subprocess.run(
        [sys.executable, "-m", "freehold", "train", "--project", str(tmp_path / "bank")],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
    )
    assert done.returncode == 1
    assert "needs torch, which is not installed" in done.stderr
    assert "freehold[train]" in done.stderr
    assert "Traceback" not in done.stderr
