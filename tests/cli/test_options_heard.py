"""An option that would change nothing is refused; freehold.toml is heard by every verb."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from freehold.app import App, open_app
from freehold.app.learn import recipe_of
from freehold.app.pretrain import pretraining_of
from freehold.app.versions import origin
from freehold.cli.main import main
from freehold.errors import ProjectError, TrainError
from freehold.project_file import load_project
from freehold.registry import Version
from freehold.testing import run_verb
from freehold.train.recipe import Recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("heard")
    assert CliRunner().invoke(main, ["new", "shop", "--dir", str(place)]).exit_code == 0
    return place / "shop"


def app_of(folder: Path, **train: Any) -> Any:
    project = load_project(folder / "freehold.toml")
    section = dataclasses.replace(project.train, **train)
    return open_app(dataclasses.replace(project, train=section))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train --lora-scale 3", "--lora-scale is for --lora-rank."),
        ("train --lora-modules attention", "--lora-modules is for --lora-rank."),
        (
            "train --adversarial-size 0.1",
            "--adversarial-size is for --adversarial fgm, pgd, freelb.",
        ),
        (
            "train --adversarial freelb --adversarial-weight 2",
            "--adversarial-weight is for --adversarial fgm, pgd, rdrop, copies.",
        ),
        (
            "train --adversarial fgm --adversarial-steps 2",
            "--adversarial-steps is for --adversarial pgd, freelb, copies.",
        ),
        ("train --few-shot --batch-tokens 512", "--batch-tokens has no effect with --few-shot"),
        ("train --few-shot --patience 2", "--patience has no effect with --few-shot"),
        (
            "pretrain --corpus c.txt --objective simcse --mask-share 0.2",
            "--mask-share is for --objective mlm.",
        ),
        (
            "pretrain --corpus c.txt --objective clm --head-share 0.2",
            "--head-share is for --objective mlm.",
        ),
        (
            "pretrain --corpus c.txt --temperature 0.1",
            "--temperature is for --objective simcse and pairs.",
        ),
        (
            "pretrain --corpus c.txt --objective pairs --packing off",
            "--packing is for --objective mlm and clm.",
        ),
        ("search --trials 1 --workers 3", "--workers is for --runner ray."),
        ("distill shop --student static --layers 2", "--layers is for --student layers"),
        ("distill shop --student static --hidden 1", "--hidden is for --student layers"),
        ("attack shop --kind typo --similarity 0.5", "--similarity is for --kind synonym."),
        ("data review --most 5", "--most is for --pool."),
        ("data review --pool p.txt --folds 3", "--folds has no effect with --pool or --apply."),
        ("data review --apply s.csv --base minilm", "--base has no effect with --apply."),
    ],
)
def test_an_option_of_another_one_is_refused(folder: Path, words: str, sentence: str) -> None:
    done = CliRunner().invoke(main, [*words.split(), "--project", str(folder)])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    "words",
    [
        "train", "pretrain --corpus c.txt", "distill shop", "ladder", "search --trials 1",
        "evaluate", "attack", "data review", "data join f.conll",
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_no_library_takes_is_refused(folder: Path, words: str, seed: str) -> None:
    done = CliRunner().invoke(main, [*words.split(), "--seed", seed, "--project", str(folder)])
    assert done.exit_code == 2
    assert f"{seed} is not in the range" in done.output


def test_a_seed_of_the_file_is_held_to_the_same(tmp_path: Path) -> None:
    file = tmp_path / "freehold.toml"
    file.write_text(f'[project]\nname = "shop"\n[train]\nseed = {2**32}\n')
    with pytest.raises(ProjectError, match=r"line 4: seed is 4294967296"):
        load_project(file)


@pytest.mark.parametrize(
    "name",
    ["adversarial_steps", "adversarial_size", "adversarial_weight", "lora_scale", "layer_decay"],
)
def test_a_zero_that_cannot_be_is_no_default(folder: Path, name: str) -> None:
    with app_of(folder, **{name: 0}) as app, pytest.raises(TrainError, match=f"{name} is 0"):
        recipe_of(app)


def test_a_zero_that_stands_for_a_choice_is_one(folder: Path) -> None:
    with app_of(folder) as app:
        recipe = recipe_of(app)
    assert recipe == Recipe()


def test_a_zero_on_the_command_line_replaces_a_setting(folder: Path) -> None:
    own = {"augment": 1.0, "label_smoothing": 0.1, "seed": 3, "skip_known": 0.5, "lora_rank": 4}
    with app_of(folder, **own) as app:
        recipe = recipe_of(app, **dict.fromkeys(own, 0))
    assert recipe == Recipe()


def test_a_base_is_found_from_wherever_one_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own").mkdir(exist_ok=True)
    monkeypatch.chdir(folder / "data")
    with app_of(folder, base="own") as app:
        assert recipe_of(app).base == str(folder.resolve() / "own")
        assert recipe_of(app, base="other").base == "other"
        monkeypatch.chdir(folder)
        assert recipe_of(app).base == "own"


def test_pretraining_hears_the_machine_and_the_seed(folder: Path) -> None:
    with app_of(folder, precision="fp32", threads=1, seed=5, epochs=9) as app:
        recipe = pretraining_of(app, seed=None, objective="mlm")
        assert (recipe.precision, recipe.threads, recipe.seed) == ("fp32", 1, 5)
        assert recipe.epochs is None
        assert pretraining_of(app, seed=0, threads=2).seed == 0
    with app_of(folder) as app:
        assert pretraining_of(app).threads is None


def test_dev_is_read_again_by_the_columns_it_was_read_by(folder: Path) -> None:
    file = folder / "dev2.csv"
    file.write_text("text,label,intent\n" + "".join(f"text {n},{n % 2},go\n" for n in range(8)))
    with app_of(folder) as app:
        data = app.read(file, label="intent")
        assert set(_again(app, origin(app, data)).labels()) == {"go"}
        assert set(_again(app, {"path": "dev2.csv", "sha256": data.sha256}).labels()) == {"0", "1"}


def _again(app: App, known: dict[str, Any]) -> Any:
    """As a version has it whose lineage names the file so."""
    version = SimpleNamespace(task="text-classification", lineage={"data": {"dev": known}})
    return app.dev_of(cast(Version, version))


def test_join_hears_the_columns_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "freehold.toml").write_text(
        '[project]\nname = "shop"\n[data]\ntext = "w"\nlabel = "t"\n'
    )
    file = tmp_path / "tags.jsonl"
    row = {"w": ["in", "Rome"], "t": ["O", "B-LOC"], "tokens": ["x"], "tags": ["O"]}
    file.write_text((json.dumps(row) + "\n") * 4)
    found = run_verb(tmp_path, "data", "join", str(file))
    assert found["words"] == 8


def test_ctrl_c_leaves_one_document(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("freehold.app.open_app", stopped)
    assert run_verb(folder, "models", code=1) == {"error": "stopped", "hint": None}
