"""Search spaces: defaults about a recipe, files with ranges, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import TrainError
from freehold.train.recipe import Recipe
from freehold.train.search.space import (
    Choice,
    Range,
    default_space,
    document,
    from_document,
    read_space,
    with_knobs,
)

WHOLE = Recipe(epochs=6, learning_rate=3e-4, batch_tokens=1024)


def test_the_default_space_holds_the_recipe_it_is_made_about() -> None:
    for name, knob in default_space(WHOLE).items():
        assert isinstance(knob, Range)
        value = getattr(WHOLE, name)
        assert knob.nearest(value) == value


def test_a_knob_of_another_that_is_searched_too_has_its_effect(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        "[adversarial]\nchoices = ['none', 'fgm']\n[adversarial_size]\nlow = 0.1\nhigh = 0.2\n"
        "[lora_rank]\nchoices = [0, 4]\n[lora_scale]\nlow = 1\nhigh = 2\n"
    )
    assert len(read_space(file, WHOLE)) == 4


def test_what_has_no_last_layer_has_no_dropout_to_search() -> None:
    assert "dropout" in default_space(WHOLE)
    assert "dropout" not in default_space(WHOLE, layer=False)
    assert "label_smoothing" not in default_space(WHOLE, chooses=False)


@given(
    epochs=st.integers(1, 200),
    tokens=st.integers(16, 1 << 20),
    rate=st.sampled_from([1e-7, 3e-5, 1e-3, 1.0]),
)
def test_every_recipe_has_a_usable_space(epochs: int, tokens: int, rate: float) -> None:
    recipe = Recipe(epochs=epochs, learning_rate=rate, batch_tokens=tokens)
    for knob in default_space(recipe).values():
        assert isinstance(knob, Range)
        assert knob.low < knob.high
        assert 0 <= knob.place(knob.low) <= knob.place(knob.high) <= 1


def test_a_knob_without_a_range_is_refused() -> None:
    with pytest.raises(TrainError, match="no range for the knob 'base'"):
        with_knobs(WHOLE, ["learning_rate", "base"])


def test_a_file_gives_ranges_and_choices(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        "[learning_rate]\nlow = 1e-5\nhigh = 1e-3\nlog = true\n"
        "[epochs]\nlow = 2\nhigh = 4\n"
        '[class_weights]\nchoices = ["none", "balanced"]\n'
    )
    space = read_space(file, WHOLE)
    assert space == {
        "learning_rate": Range(1e-5, 1e-3, log=True),
        "epochs": Range(2, 4, whole=True),
        "class_weights": Choice(("none", "balanced")),
    }
    assert from_document(document(space)) == space


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no knob"),
        ("[learning_rate\n", "is not TOML"),
        ("[speed]\nlow = 1\nhigh = 2\n", "[speed]: no such knob"),
        ("[base]\nchoices = ['a', 'b']\n", "[base]: no such knob"),
        ("epochs = 3\n", "[epochs]: this has to be a table"),
        ("[epochs]\nlow = 1.5\nhigh = 3\n", "[epochs]: low and high have to be whole numbers"),
        ("[epochs]\nlow = 3\nhigh = 3\n", "[epochs]: low (3) has to be below high (3)"),
        ("[dropout]\nlow = 0\nhigh = 1.5\n", "[dropout]: dropout is 1.5"),
        ("[dropout]\nlow = 0\nhigh = 0.5\nlog = true\n", "goes only with low above 0"),
        ("[dropout]\nlow = 0\nstep = 1\n", "there is no 'step' here"),
        ("[dropout]\nlow = 0\n", "low and high have to be numbers"),
        ("[class_weights]\nchoices = ['none']\n", "at least two values"),
        ("[class_weights]\nchoices = ['none', 'odd']\n", "class_weights is 'odd'"),
        ("[class_weights]\nchoices = ['none', 'balanced']\nlow = 1\n", "choices stand alone"),
        ("[epochs]\nchoices = ['a', 'b']\n", "is of the wrong kind"),
        ("[epochs]\nchoices = [1, 2.5]\n", "2.5 is of the wrong kind"),
        ("[dropout]\nchoices = [0.1, true]\n", "True is of the wrong kind"),
        ("[lora_scale]\nlow = 1\nhigh = 2\n", "changes nothing without lora_rank"),
        ("[adversarial_size]\nlow = 0.1\nhigh = 0.2\n", "nothing without adversarial fgm, pgd"),
    ],
)
def test_a_bad_file_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "space.toml"
    file.write_text(text)
    with pytest.raises(TrainError) as caught:
        read_space(file, WHOLE)
    assert said in caught.value.message
    assert str(file) in caught.value.message


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match="cannot be read"):
        read_space(tmp_path / "none.toml", WHOLE)
