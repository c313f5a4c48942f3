"""What line breaks alone tell is learnt, exported and distilled."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little import FILLERS, dataset

from freehold.export.bundle import export
from freehold.serve.engine import Engine
from freehold.tasks.lines import LINE
from freehold.tasks.types import Dataset, TaggedExample
from freehold.train import hardware
from freehold.train.checkpoint import read_meta
from freehold.train.distil.distil import distil
from freehold.train.encoders import find
from freehold.train.finetune import FitResult, fit
from freehold.train.objective import Plain
from freehold.train.predict import logits
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare
from freehold.train.search.trial import settled


def broken(count: int, seed: int, *, lines: bool = True) -> Dataset:
    """In texts of two lines every word is a name, in texts of one line none."""
    chance = random.Random(seed)
    examples = []
    for row in range(count):
        words = tuple(chance.choices(FILLERS, k=6))
        breaks = (3,) if chance.random() < 0.5 else ()
        tags = ("B-NAME" if breaks else "O",) * len(words)
        examples.append(TaggedExample(row + 1, words, tags, breaks if lines else ()))
    return dataset(examples, f"lines{seed}")


@pytest.fixture(scope="module")
def learnt(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    out = tmp_path_factory.mktemp("lines") / "model"
    return fit(broken(96, 1), broken(40, 2), recipe, out)


def test_what_lines_alone_tell_is_learnt(learnt: FitResult) -> None:
    assert learnt.score > 0.98
    assert read_meta(learnt.path).lines


def test_without_breaks_it_cannot_be(recipe: Recipe, tmp_path: Path) -> None:
    data = broken(96, 1, lines=False), broken(40, 2, lines=False)
    assert fit(*data, recipe, tmp_path / "model").score < 0.8
    assert not read_meta(tmp_path / "model").lines


def test_a_bundle_answers_a_text_of_several_lines_as_torch_does(
    learnt: FitResult, tmp_path: Path
) -> None:
    export(
        learnt.path, tmp_path / "bundle", open_engine=Engine.open, model="m", version=1,
        temperature=1.0, dev=broken(40, 2), threads=1, precision="fp32",
    )  # fmt: skip
    engine = Engine.open(tmp_path / "bundle", threads=1)
    examples = broken(8, 3).examples
    for example, expected in zip(examples, logits(learnt.path, examples), strict=True):
        words, again = example.input, " ".join(example.input)
        for given in (words, again):
            (found,) = engine.run(engine.encode([given]))
            assert np.allclose(found, expected, atol=1e-4)


def test_a_student_sees_them_too_and_one_of_a_teacher_that_does_not_sees_none(
    learnt: FitResult, recipe: Recipe, tmp_path: Path
) -> None:
    data = broken(96, 1), broken(40, 2)
    student = distil(learnt.path, *data, recipe, tmp_path / "student", layers=1)
    assert student.fit.score > 0.95
    assert read_meta(student.fit.path).lines
    short = dataclasses.replace(recipe, epochs=1)
    blind = fit(broken(32, 1, lines=False), broken(16, 2, lines=False), short, tmp_path / "blind")
    other = distil(blind.path, *data, short, tmp_path / "other", layers=1)
    assert not read_meta(other.fit.path).lines


def prepared(train: Dataset, recipe: Recipe, out: Path, **more: Any) -> Run:
    machine = hardware.choose("fp32")
    return prepare(
        train, broken(2, 2, lines=False), recipe, machine, find(recipe.base), out, **more
    )


def test_lines_of_unlabelled_texts_are_shown_too(recipe: Recipe, tmp_path: Path) -> None:
    train, texts = broken(8, 1, lines=False), [TaggedExample(1, ("my", "bike"), None, (1,))]
    assert not prepared(train, recipe, tmp_path / "m").meta.lines
    run = prepared(train, recipe, tmp_path / "m", objective=Plain(), unlabelled=texts)
    assert run.meta.lines
    assert len(run.job.material.ids[-1]) == len(("[CLS]", "my", LINE, "bike", "[SEP]"))


def test_a_search_settles_what_a_training_on_several_lines_would(
    encoder: Path, tmp_path: Path
) -> None:
    words = ("please", "my", "bike", "today")
    example = TaggedExample(1, words, ("B-NAME", "O", "O", "O"), (1, 2, 3))
    train = dataset([example] * 1000, "many")
    recipe = Recipe(base=str(encoder), threads=1, precision="fp32")
    run = prepared(train, recipe, tmp_path / "m")
    assert settled(train, recipe, find(str(encoder))).document() == run.meta.recipe
