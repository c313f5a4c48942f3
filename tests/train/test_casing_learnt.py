"""An encoder that folds case learns from capitals, and what is made of it goes on knowing them."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import pytest
import torch
from little import FILLERS, dataset
from safetensors.torch import load_file

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, TaggedExample
from freehold.train.checkpoint import load, read_meta
from freehold.train.distil.distil import distil
from freehold.train.encoders import find
from freehold.train.finetune import FitResult, fit
from freehold.train.predict import logits
from freehold.train.recipe import Recipe

TABLE = "encoder.embeddings.token_type_embeddings.weight"


def capitals(count: int, seed: int) -> Dataset:
    """Every word is a name where it has a capital, and no other word is."""
    chance = random.Random(seed)
    examples = []
    for row in range(count):
        words = chance.choices(FILLERS, k=6)
        names = [chance.random() < 0.4 for _ in words]
        tokens = [word.title() if name else word for word, name in zip(words, names, strict=True)]
        tags = ["B-NAME" if name else "O" for name in names]
        examples.append(TaggedExample(row + 1, tuple(tokens), tuple(tags)))
    return dataset(examples, f"capitals{seed}")


@pytest.fixture(scope="module")
def learnt(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    out = tmp_path_factory.mktemp("learnt") / "model"
    return fit(capitals(96, 1), capitals(40, 2), recipe, out)


def test_tags_that_capitals_alone_tell_are_learnt(learnt: FitResult) -> None:
    assert learnt.score > 0.98
    meta = read_meta(learnt.path)
    assert meta.casing
    config = json.loads((learnt.path / "config.json").read_text(encoding="utf-8"))
    assert config["type_vocab_size"] == len(load_file(learnt.path / "model.safetensors")[TABLE])


def test_without_casing_they_cannot_be(recipe: Recipe, tmp_path: Path) -> None:
    off = dataclasses.replace(recipe, casing="off")
    assert fit(capitals(96, 1), capitals(40, 2), off, tmp_path / "model").score < 0.7


def test_a_further_training_starts_from_the_shapes_that_were_learnt(
    learnt: FitResult, recipe: Recipe, tmp_path: Path
) -> None:
    still = dataclasses.replace(recipe, base=str(learnt.path), epochs=1, learning_rate=1e-9)
    after = fit(capitals(96, 1), capitals(40, 2), still, tmp_path / "model")
    tables = [load_file(path / "model.safetensors")[TABLE] for path in (learnt.path, after.path)]
    assert torch.allclose(tables[0], tables[1], atol=1e-6)


def test_texts_and_pairs_go_on_from_it_with_the_first_shape(
    learnt: FitResult, recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    fit(train_texts, dev_texts, dataclasses.replace(recipe, base=str(learnt.path)), tmp_path / "m")
    assert not read_meta(tmp_path / "m").casing
    assert len(logits(tmp_path / "m", dev_texts.examples)) == len(dev_texts)


def test_a_student_reads_as_its_teacher(learnt: FitResult, recipe: Recipe, tmp_path: Path) -> None:
    student = distil(
        learnt.path, capitals(96, 1), capitals(40, 2), recipe, tmp_path / "student", layers=1
    )
    assert student.fit.score > 0.95
    assert load(student.fit.path).meta.casing


def test_what_has_no_capitals_is_read_as_before(recipe: Recipe) -> None:
    from freehold.train.casing import widen
    from freehold.train.encoders import load_encoder

    files = find(recipe.base)
    before, after = (load_encoder(files, attention="eager").eval() for _ in range(2))
    widen(after, files)
    ids = torch.arange(4, 12).reshape(1, -1)
    with torch.no_grad():
        one = before(input_ids=ids).last_hidden_state
        other = after(input_ids=ids, token_type_ids=torch.zeros_like(ids)).last_hidden_state
    assert torch.equal(one, other)


def test_it_is_refused_for_texts(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    on = dataclasses.replace(recipe, casing="on")
    with pytest.raises(TrainError, match="text-classification is not about words"):
        fit(train_texts, dev_texts, on, tmp_path / "model")


def test_updates_of_low_rank_learn_capitals_too(recipe: Recipe, tmp_path: Path) -> None:
    low = dataclasses.replace(recipe, lora_rank=4, epochs=12)
    assert fit(capitals(96, 1), capitals(40, 2), low, tmp_path / "model").score > 0.9


def test_below_frozen_layers_no_new_shapes_are_put(
    learnt: FitResult, recipe: Recipe, tmp_path: Path
) -> None:
    frozen = dataclasses.replace(recipe, freeze_layers=1, epochs=1)
    fit(capitals(32, 1), capitals(40, 2), frozen, tmp_path / "new")
    assert not read_meta(tmp_path / "new").casing
    again = dataclasses.replace(frozen, base=str(learnt.path))
    assert fit(capitals(32, 1), capitals(40, 2), again, tmp_path / "old").score > 0.9
    assert read_meta(tmp_path / "old").casing
