"""`freehold card`: every version has one, whichever way it was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard

from freehold.app import App, open_app
from freehold.app.card import CARD, card_of
from freehold.cli.main import main
from freehold.project_file import load_project
from freehold.registry import ASIDE
from freehold.store import schema
from freehold.testing import run_verb, tiny_encoder

pytestmark = pytest.mark.slow

NASTY = "a|b *c* <i> $x$ `d`"
WORDS = {"lost": ("gone", "missing"), NASTY: ("money", "back"), "repair": ("broken", "flat")}
STRANGE = [{"text": f"my {word} bike", "label": label} for label in WORDS for word in WORDS[label]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With shop@1 fine-tuned, shop@2 its student, and base@1 pretrained."""
    folder = tmp_path_factory.mktemp("card")
    words = [word for both in WORDS.values() for word in both]
    encoder = tiny_encoder(folder / "secret place" / "enc*oder", vocab_words=[*words, "my", "bike"])
    (folder / "freehold.toml").write_text(
        '[project]\nname = "shop"\n[data]\ntrain = "train.jsonl"\ndev = "dev.jsonl"\n'
        f"[train]\nbase = {json.dumps(str(encoder))}\nthreads = 1\n"
    )
    for name, times in (("train", 8), ("dev", 3)):
        lines = [json.dumps(record) for record in STRANGE * times]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    (folder / "corpus.txt").write_text("\n".join(f"my {w} bike {n}" for w in words for n in "1234"))
    run_verb(folder, "train", "--epochs", "2", "--label-smoothing", "0.1")
    run_verb(folder, "distill", "shop@1", "--layers", "1", "--epochs", "1")
    run_verb(
        folder, "pretrain", "--corpus", str(folder / "corpus.txt"), "--name", "base",
        "--base", str(encoder), "--steps", "2", "--batch-tokens", "128", "--looks", "1",
    )  # fmt: skip
    return folder


def _card(project: Path, name: str) -> dict[str, Any]:
    return run_verb(project, "card", name)


def _opened(project: Path) -> Any:
    return open_app(load_project(project / "freehold.toml"))


def test_it_says_what_it_is_how_it_was_made_what_it_scores_and_cost(project: Path) -> None:
    found = _card(project, "shop@1")
    text = found["markdown"]
    version = next(v for v in run_verb(project, "models")["versions"] if v["model"] == "shop")
    assert (found["stored"], found["version"]) == (True, 1)
    for title in (
        "What it is", "How it was made", "What it scores", "What it cost", "Limits",
        "How to use it", "Since then",
    ):  # fmt: skip
        assert text.count(f"\n## {title}\n") == 1
    assert "| lost | 16 |" in text
    assert "| `label_smoothing` | 0.1 |" in text
    assert "fp32, 1 thread" in text
    for file in ("train", "dev"):
        assert version["lineage"]["data"][file]["sha256"] in text
    low, high = version["metrics"]["intervals"]["accuracy"]
    score = version["metrics"]["accuracy"]
    assert low <= score <= high
    assert f"**{score:.4f}** (95 % interval {low:.4f} to {high:.4f}) on 18 examples" in text
    assert f"{float(version['cost']['training']):.4f} EUR" in text
    assert "18 examples are few" in text
    assert "freehold predict shop@1" in text
    assert "localhost:8080/models/shop" in text


def test_what_users_wrote_is_escaped_and_where_their_files_lie_is_left_out(project: Path) -> None:
    text = _card(project, "shop@1")["markdown"]
    assert "a\\|b \\*c\\* \\<i\\> \\$x\\$ \\`d\\`" in text
    assert NASTY not in text
    assert "enc\\*oder" in text
    assert "secret place" not in text


def test_the_front_matter_is_what_the_hub_reads(project: Path) -> None:
    found = _card(project, "shop@1")
    data = ModelCard(found["markdown"]).data
    assert (data.license, data.language, data.pipeline_tag) == (
        "other",
        "en",
        "text-classification",
    )
    (result,) = data.eval_results
    assert result.metric_type == "accuracy"
    assert 0 <= result.metric_value <= 1
    assert (result.dataset_name, data.model_name) == ("dev.jsonl", "shop@1")
    assert found["metadata"]["metrics"] == ["accuracy"]
    assert "base_model" not in found["metadata"]  # a folder of one's own is not on the Hub


def test_a_student_names_its_teacher_and_the_whole_chain(project: Path) -> None:
    text = _card(project, "shop")["markdown"]
    assert "shop@2 (distil) from shop@1 (fine-tune) from enc\\*oder" in text
    assert "- Distil: augment 0, hard 0, hidden 1, layers 1, soft 1, student layers" in text
    assert "Its teacher's is" in text
    assert "without what its lineage cost before" in text


def test_a_pretrained_encoder_is_measured_on_texts_kept_aside(project: Path) -> None:
    text = _card(project, "base")["markdown"]
    assert "An encoder to start from" in text
    assert "| before |" in text
    assert "| after |" in text
    assert "freehold train --base base@1" in text
    assert "localhost" not in text  # it answers nothing
    assert "| `objective` | mlm |" in text
    assert "- Labels: 0.00 EUR" in text


def test_the_checkpoint_that_is_loaded_has_no_card_in_it(project: Path) -> None:
    with _opened(project) as app:
        version = app.registry.get("shop@1")
        folder = app.registry.checkpoint(version)
        assert version.files[CARD].size > 0
        assert not (folder / ASIDE).exists()
        kept = app.registry.read(version, CARD)
    assert kept is not None
    assert _card(project, "shop@1")["markdown"].startswith(kept.decode())


def test_an_export_is_told_on_the_card_that_was_written_before_it(project: Path) -> None:
    assert "- Not exported" in _card(project, "shop@2")["markdown"]
    run_verb(project, "export", "shop@2", "--engine", "onnxruntime", "--precision", "fp32")
    run_verb(project, "promote", "shop@2")
    text = _card(project, "shop@2")["markdown"]
    assert "- Stage: live" in text
    assert "- Exported: onnxruntime fp32, " in text
    assert "Not exported" not in text


def test_a_version_from_before_there_were_cards_gets_one_when_it_is_asked_for(
    project: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "old"
    copy.mkdir()
    for name in ("freehold.toml", ".freehold"):
        (copy / name).symlink_to(project / name)
    with _opened(copy) as app:
        version = app.registry.get("shop@1")
        try:
            _without_card(app, version)
            found = CliRunner().invoke(main, ["card", "shop@1", "--project", str(copy), "--json"])
        finally:
            app.registry.keep(version, CARD, app.registry.read(version, CARD) or b"")
    document = json.loads(found.stdout)
    assert document["stored"] is False
    assert "made without a card" in found.stderr
    assert "How often each was learnt from is not recorded" in document["markdown"]
    assert "| macro f1 |" not in document["markdown"]
    assert "**" in document["markdown"]  # the score is the registry's
    assert _card(project, "shop@1")["stored"] is True


def _without_card(app: App, version: Any) -> None:
    table = schema.versions
    files = {n: {"sha256": b.sha256, "size": b.size} for n, b in version.files.items() if n != CARD}
    with app.database.write() as connection:
        connection.execute(
            table.update()
            .where(table.c.model == version.model, table.c.version == version.version)
            .values(files=json.dumps(files))
        )


def test_on_a_terminal_it_is_read_piped_it_is_markdown_and_a_file_can_be_named(
    project: Path, tmp_path: Path
) -> None:
    piped = CliRunner().invoke(main, ["card", "shop@1", "--project", str(project)])
    assert piped.exit_code == 0
    assert piped.stdout.startswith('---\nlanguage: "en"\n')
    file = tmp_path / "README.md"
    told = CliRunner().invoke(
        main, ["card", "shop@1", "--project", str(project), "--output", str(file)]
    )
    assert told.exit_code == 0
    assert file.read_text(encoding="utf-8") == piped.stdout
    shown = CliRunner().invoke(
        main,
        ["card", "shop@1", "--project", str(project)],
        env={"FORCE_COLOR": "1", "COLUMNS": "100"},
    )
    assert "license" not in shown.stdout  # front matter is for programs
    assert "## What it cost" not in shown.stdout
    assert "What it cost" in shown.stdout


def test_a_model_that_is_not_there_is_a_sentence(project: Path) -> None:
    assert "There is no model 'boat'" in run_verb(project, "card", "boat", code=1)["error"]


def test_a_full_disk_costs_the_card_and_not_the_version(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from freehold.app.card import write_card
    from freehold.errors import StoreError
    from freehold.registry import Registry

    def full(*_: Any) -> Any:
        raise StoreError("README.md could not be stored: No space left on device.")

    told: list[str] = []
    with open_app(load_project(project / "freehold.toml"), remark=told.append) as app:
        version = app.registry.get("shop@1")
        monkeypatch.setattr(Registry, "keep", full)
        assert write_card(app, version) == version
        assert card_of(app, version).stored  # the one from before
    (sentence,) = told
    assert sentence.startswith("The card of shop@1 was not kept. README.md could not be stored")
