"""`freehold pretrain` in a project: what it registers, what starts from that, what cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from decoders import tiny_decoder
from little import WORDS, texts

from freehold.cli import progress
from freehold.cli.main import main
from freehold.testing import tiny_encoder
from freehold.train.progress import Progress

PROJECT = '[project]\nname = "shop"\n\n[data]\ntrain = "train.jsonl"\ndev = "dev.jsonl"\n'


def run(project: Path, *words: str, code: int = 0) -> Any:
    done = CliRunner().invoke(main, [*words, "--json", "--project", str(project)])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "freehold.toml").write_text(PROJECT)
    for name, seed in (("train", 1), ("dev", 2)):
        rows = [json.dumps({"text": e.text, "label": e.label}) for e in texts(96, seed).examples]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    (folder / "corpus.txt").write_text("\n\n".join(e.text for e in texts(200, 5).examples))
    rows = [f'"{e.text}",{e.label} please' for e in texts(100, 6).examples]
    (folder / "pairs.csv").write_text("text_a,text_b\n" + "\n".join(rows))
    tiny_encoder(folder / "tiny", vocab_words=WORDS)
    tiny_decoder(folder / "gpt2")
    return folder


def pretrain(project: Path, *words: str, code: int = 0) -> Any:
    quick = ("--steps", "6", "--batch-tokens", "128", "--looks", "1", "--threads", "1")
    return run(project, "pretrain", *quick, *words, code=code)


@pytest.fixture(scope="module")
def masked(project: Path) -> Any:
    corpus = ("--corpus", str(project / "corpus.txt"))
    return pretrain(project, *corpus, "--base", str(project / "tiny"))


def test_the_version_has_its_lineage_figures_and_cost(masked: Any, project: Path) -> None:
    assert (masked["model"], masked["version"], masked["task"]) == ("shop-base", 1, "masked-lm")
    assert masked["labels"] == []
    lineage = masked["lineage"]
    assert lineage["method"] == "pretrain"
    assert lineage["parent"] is None
    assert lineage["data"]["corpus"]["path"] == "corpus.txt"
    assert lineage["recipe"]["objective"] == "mlm"
    assert lineage["recipe"]["steps"] == 6
    metrics = masked["metrics"]
    assert metrics["perplexity"] == metrics["after"]["value"]
    assert metrics["before"]["n"] == metrics["after"]["n"]
    assert metrics["tokens_per_second"] > 0
    assert masked["train_seconds"] > 0
    assert masked["cost"]["labelling"] == "0"
    assert not (project / ".freehold" / "runs" / "shop-base").exists()
    listed = run(project, "models")["versions"]
    assert "masked-lm" in [version["task"] for version in listed]


@pytest.mark.parametrize("verb", ["export", "promote", "evaluate"])
def test_it_answers_nothing_and_says_so(verb: str, masked: Any, project: Path) -> None:
    answer = run(project, verb, "shop-base@1", code=1)
    assert "shop-base@1 is a masked-lm checkpoint to start from" in answer["error"]
    assert answer["hint"] == "Go on from it: `freehold train --base shop-base@1`."


@pytest.mark.parametrize("option", ["--base", "--from"])
def test_training_starts_from_it(option: str, masked: Any, project: Path) -> None:
    quick = ("--epochs", "1", "--batch-tokens", "128", "--threads", "1")
    trained = run(project, "train", *quick, option, "shop-base@1", "--name", "shop")
    listed = run(project, "models")["versions"]
    version = next(v for v in listed if (v["model"], v["version"]) == ("shop", trained["version"]))
    assert version["lineage"]["parent"] == "shop-base@1"


def test_a_decoder_goes_on_and_is_refused_as_an_encoder(project: Path) -> None:
    corpus = ("--corpus", str(project / "train.jsonl"))  # its labels are not looked at
    done = pretrain(
        project, *corpus, "--objective", "clm", "--base", str(project / "gpt2"), "--name", "gpt"
    )
    assert done["task"] == "causal-lm"
    assert done["metrics"]["perplexity"] < done["metrics"]["before"]["value"]
    again = pretrain(project, *corpus, "--objective", "clm", "--base", "gpt@1", "--name", "gpt")
    assert (again["version"], again["lineage"]["parent"]) == (2, "gpt@1")
    refused = run(project, "train", "--base", "gpt@2", "--epochs", "1", code=1)
    assert "gpt@2 is a decoder (gpt2)" in refused["error"]
    refused = run(project, "promote", "gpt@2", code=1)
    assert "--objective clm --corpus FILE --base gpt@2" in refused["hint"]


def test_pairs_come_from_two_columns(project: Path) -> None:
    base = ("--base", str(project / "tiny"), "--objective", "pairs", "--name", "pairs")
    done = pretrain(project, "--corpus", str(project / "pairs.csv"), *base)
    assert done["task"] == "sentence-embedding"
    assert 0 <= done["metrics"]["retrieval_accuracy"] <= 1
    no_columns = pretrain(project, "--corpus", str(project / "corpus.txt"), *base, code=1)
    assert "has no columns, but pairs need two" in no_columns["error"]
    missing = pretrain(project, "--corpus", str(project / "train.jsonl"), *base, code=1)
    assert 'has no column "text_a"' in missing["error"]
    same = pretrain(
        project, "--corpus", str(project / "pairs.csv"), *base, "--text-b", "text_a", code=1
    )
    assert "Both texts of a pair" in same["error"]


def test_ctrl_c_keeps_what_was_learnt_and_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the verb where it draws its bar."""

    @contextmanager
    def impatient(console: object, objective: str) -> Iterator[Callable[[Progress], None]]:
        def draw(told: Progress) -> None:
            if told.epoch == 2:
                raise KeyboardInterrupt

        yield draw

    words = ("--corpus", str(project / "corpus.txt"), "--base", str(project / "tiny"))
    words += ("--name", "stopped", "--looks", "3")
    with monkeypatch.context() as patched:
        patched.setattr(progress, "pretraining_bar", impatient)
        stopped = pretrain(project, *words, code=1)
    assert stopped["metrics"]["interrupted"]
    assert "after" not in stopped["metrics"]
    done = pretrain(project, *words, "--resume")
    assert (done["version"], done["metrics"]["interrupted"]) == (2, False)
    assert done["metrics"]["steps"] == 6
    again = pretrain(project, *words, "--resume", code=1)
    assert "no stopped run to go on with" in again["error"]


@pytest.mark.slow
def test_an_embedding_is_exported_and_promoted_as_it_is(project: Path) -> None:
    words = ("--corpus", str(project / "pairs.csv"), "--base", str(project / "tiny"))
    pretrain(project, *words, "--objective", "pairs", "--name", "vectors")
    bundle = run(project, "export", "vectors@1", "--engine", "onnxruntime", "--precision", "fp32")[
        "bundle"
    ]
    assert (Path(bundle) / "model.onnx").exists()
    assert run(project, "promote", "vectors@1")["stage"] == "live"


def test_bad_corpora_get_a_sentence(project: Path, tmp_path: Path) -> None:
    base = ("--base", str(project / "tiny"))
    empty, blank = tmp_path / "empty.txt", tmp_path / "blank.txt"
    empty.write_text("")
    blank.write_text("\n  \n\n")
    assert "is empty" in pretrain(project, "--corpus", str(empty), *base, code=1)["error"]
    assert "has no text in it" in pretrain(project, "--corpus", str(blank), *base, code=1)["error"]
    gone = pretrain(project, "--corpus", str(tmp_path / "gone.txt"), *base, code=1)
    assert "There is no file" in gone["error"]


def test_wrong_usage_exits_with_2(project: Path) -> None:
    corpus = ("--corpus", str(project / "corpus.txt"))
    pretrain(project, *corpus, "--epochs", "2", code=2)
    pretrain(project, *corpus, "--text-b", "other", code=2)
    run(project, "pretrain", code=2)


def test_a_person_reads_before_and_after(project: Path) -> None:
    words = ["pretrain", "--corpus", str(project / "corpus.txt"), "--base", str(project / "tiny")]
    words += ["--steps", "6", "--looks", "1", "--threads", "1", "--project", str(project)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    for told in ("before", "new head, same encoder", "after", "perplexity (95 %", "cost"):
        assert told in done.stdout
    assert "freehold train --base shop-base@" in done.stdout
    assert "different texts" in done.stderr
