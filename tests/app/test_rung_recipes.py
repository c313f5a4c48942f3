"""Each rung of the ladder learns by what goes with it, on the labels that were named."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from freehold.app import open_app
from freehold.app.ladder import RUNGS, split
from freehold.app.rung_recipes import LEFT_OUT, recipe_of_rung
from freehold.cli import ladder
from freehold.project_file import load_project
from freehold.train.recipe import Recipe


def test_each_rung_has_the_recipe_that_goes_with_it() -> None:
    given = Recipe(
        epochs=2, learning_rate=1e-3, label_smoothing=0.1, adversarial="fgm", freeze_layers=1,
        class_weights="balanced", max_length=64, seed=3, threads=1, base="elsewhere",
    )  # fmt: skip
    assert set(LEFT_OUT) == set(RUNGS) - {"fine-tuned"}
    assert recipe_of_rung("fine-tuned", given) == given
    for rung in LEFT_OUT:
        own = recipe_of_rung(rung, given)
        assert own.epochs is None
        assert own.learning_rate is None
        assert (own.max_length, own.seed, own.threads, own.base) == (64, 3, 1, "elsewhere")
    assert recipe_of_rung("static", given).freeze_layers == 0
    assert recipe_of_rung("static", given).adversarial == "fgm"
    assert recipe_of_rung("distilled", given).adversarial == "none"
    assert recipe_of_rung("few-shot", given).label_smoothing == 0
    assert recipe_of_rung("frozen", given).class_weights == "balanced"


def test_the_help_names_every_rung() -> None:
    (option,) = [option for option in ladder.command.params if option.name == "rungs"]
    assert all(rung in cast(Any, option).help for rung in RUNGS)


def test_a_file_is_divided_anew_for_another_label(tmp_path: Path) -> None:
    (tmp_path / "freehold.toml").write_text('[project]\nname = "shop"\n')
    file = tmp_path / "both.csv"
    rows = [f"text number {n},{'ab'[n % 2]},{'xy'[n % 2]}" for n in range(40)]
    file.write_text("text,first,second\n" + "\n".join(rows) + "\n")
    with open_app(load_project(tmp_path / "freehold.toml")) as app:
        found = {
            label: split(app, app.read(file, text="text", label=label))[0].labels()
            for label in ("first", "second")
        }
    assert set(found["first"]) == {"a", "b"}
    assert set(found["second"]) == {"x", "y"}
