"""Every option that names a knob of the recipe reaches it, and so does the setting of its name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from freehold.app import open_app
from freehold.app.learn import recipe_of
from freehold.cli import distill, ladder, train
from freehold.cli.main import main
from freehold.project import Train
from freehold.project_file import load_project
from freehold.train.recipe import Recipe

KNOBS = {field.name for field in dataclasses.fields(Recipe)}
OTHER: dict[str, Any] = {
    "base": "elsewhere", "epochs": 3, "learning_rate": 1e-3, "batch_tokens": 99, "max_length": 64,
    "class_weights": "balanced", "encoder_dropout": 0.25, "label_smoothing": 0.25,
    "layer_decay": 0.5, "freeze_layers": 1, "lora_rank": 2, "lora_scale": 3.0,
    "lora_modules": "attention", "adversarial": "fgm", "adversarial_steps": 5,
    "adversarial_size": 0.25, "adversarial_weight": 2.0, "augment": 1.0, "casing": "off",
    "skip_known": 0.5, "patience": 7, "precision": "fp32", "seed": 5, "threads": 1,
}  # fmt: skip
CLASH = {"freeze_layers": "lora_rank"}  # which exclude each other


def knobs_of(command: click.Command) -> set[str]:
    return {str(option.name) for option in command.params} & KNOBS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("options")
    assert CliRunner().invoke(main, ["new", "shop", "--dir", str(place)]).exit_code == 0
    return place / "shop"


def test_all_of_them_are_tried() -> None:
    assert knobs_of(train.command) == set(OTHER)
    assert set(Train.__slots__) & KNOBS == set(OTHER)


@pytest.mark.parametrize("command", [train.command, distill.command, ladder.command])
def test_an_option_reaches_the_recipe(folder: Path, command: click.Command) -> None:
    asked = {name: OTHER[name] for name in knobs_of(command) if name not in CLASH}
    with open_app(load_project(folder / "freehold.toml")) as app:
        recipe = recipe_of(app, **asked)
        assert {name: getattr(recipe, name) for name in asked} == asked
        for name in CLASH:
            assert getattr(recipe_of(app, **{name: OTHER[name]}), name) == OTHER[name]


def test_a_setting_reaches_it_too(folder: Path) -> None:
    project = load_project(folder / "freehold.toml")
    own = {name: value for name, value in OTHER.items() if name not in CLASH}
    section = dataclasses.replace(project.train, **own)
    with open_app(dataclasses.replace(project, train=section)) as app:
        recipe = recipe_of(app)
        assert {name: getattr(recipe, name) for name in own} == own


def test_a_knob_that_nobody_knows_is_a_mistake_of_ours(folder: Path) -> None:
    with (
        open_app(load_project(folder / "freehold.toml")) as app,
        pytest.raises(TypeError, match="has no dropuot"),
    ):
        recipe_of(app, dropuot=0.1)
