"""`freehold train --adversarial` and `freehold attack` by the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from freehold.cli.main import main
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a hardened version, bank@1."""
    folder = tmp_path_factory.mktemp("attack")
    encoder = tiny_encoder(folder / "encoder", positions=128)
    words = ["new", "bank", "--dir", str(folder), "--template", "classification"]
    assert CliRunner().invoke(main, words).exit_code == 0
    run_verb(
        folder / "bank", "train", "--base", str(encoder), "--epochs", "2", "--threads", "1",
        "--learning-rate", "5e-3", "--adversarial", "freelb", "--adversarial-steps", "2",
        "--augment", "0.5",
    )  # fmt: skip
    return folder / "bank"


def test_a_hardened_version_says_how_it_was_learnt(project: Path) -> None:
    (version,) = run_verb(project, "models")["versions"]
    lineage = version["lineage"]
    assert lineage["method"] == "harden"
    assert lineage["recipe"]["adversarial"] == "freelb"
    assert lineage["recipe"]["adversarial_steps"] == 2
    assert lineage["recipe"]["augment"] == 0.5


def test_an_attack_reports_its_figures_and_writes_a_page(project: Path, tmp_path: Path) -> None:
    page = tmp_path / "attack.html"
    words = ["attack", "bank", "--budget", "20", "--sample", "20", "--html", str(page)]
    report = run_verb(project, *words)
    assert (report["model"], report["version"], report["n"]) == ("bank", 1, 20)
    assert report["limits"] == {"budget": 20, "words": 0.2, "similarity": 0.8}
    assert list(report["attacks"]) == ["typo", "swap", "homoglyph", "synonym", "combined"]
    clean = report["clean_accuracy"]
    for one in report["attacks"].values():
        assert one["accuracy_under_attack"]["value"] <= clean["value"]
        assert one["accuracy_under_attack"]["n"] == 20
        assert one["queries"]["value"] is None or one["queries"]["value"] <= 20
    assert set(report["behaviour"]) == {"names", "numbers", "negation"}
    assert "Accuracy under attack" in page.read_text(encoding="utf-8")
    again = run_verb(project, *words)
    assert again == report


def test_a_lexicon_and_chosen_kinds(project: Path, tmp_path: Path) -> None:
    lexicon = tmp_path / "words.txt"
    lexicon.write_text("bike, bicycle\nhire, rental\n", encoding="utf-8")
    report = run_verb(
        project, "attack", "bank@1", "--kind", "synonym", "--lexicon", str(lexicon), "--sample",
        "10", "--similarity", "0.2",
    )  # fmt: skip
    assert list(report["attacks"]) == ["synonym", "combined"]
    changed = {
        change["after"].lower()
        for example in report["attacks"]["synonym"]["examples"]
        for change in example["changes"]
    }
    assert changed <= {"bike", "bicycle", "hire", "rental"}
    lexicon.write_text("alone\n", encoding="utf-8")
    refused = run_verb(project, "attack", "bank", "--lexicon", str(lexicon), code=1)
    assert "line 1: a group needs at least two words" in refused["error"]


def test_a_version_of_another_task_is_refused(project: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder", positions=128)
    file = tmp_path / "tags.conll"
    file.write_text("Anna B-PER\nlives O\n\nin O\nParis B-LOC\n\n" * 4, encoding="utf-8")
    run_verb(
        project, "train", "--task", "token-classification", "--data", str(file), "--dev",
        str(file), "--base", str(encoder), "--epochs", "1", "--name", "tags", "--threads", "1",
    )  # fmt: skip
    refused = run_verb(project, "attack", "tags@1", "--data", str(file), code=1)
    assert "text-classification only" in refused["error"]
