"""A checkpoint: what was saved answers again, in order; what is damaged is named."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from freehold.errors import NotFoundError, TrainError
from freehold.tasks.types import Dataset, Example, TaggedExample
from freehold.train import checkpoint
from freehold.train.finetune import FitResult, fit
from freehold.train.predict import logits
from freehold.train.recipe import Recipe


@pytest.fixture(scope="module")
def classifier(
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> FitResult:
    return fit(train_texts, dev_texts, recipe, tmp_path_factory.mktemp("texts") / "model")


@pytest.fixture(scope="module")
def tagger(
    train_sentences: Dataset,
    dev_sentences: Dataset,
    recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> FitResult:
    return fit(train_sentences, dev_sentences, recipe, tmp_path_factory.mktemp("tags") / "model")


@pytest.fixture
def copy(classifier: FitResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(classifier.path, tmp_path / "copy"))


def test_the_saved_model_answers_as_the_trained_one(
    classifier: FitResult, tagger: FitResult, dev_texts: Dataset, dev_sentences: Dataset
) -> None:
    for result, dev in ((classifier, dev_texts), (tagger, dev_sentences)):
        found = logits(result.path, dev.examples)
        assert result.dev_logits is not None
        for one, other in zip(found, result.dev_logits, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_answers_do_not_depend_on_their_company(classifier: FitResult, dev_texts: Dataset) -> None:
    together = logits(classifier.path, dev_texts.examples)
    for size in (1, 64):
        alone = logits(classifier.path, dev_texts.examples, batch_tokens=size)
        np.testing.assert_allclose(np.stack(alone), np.stack(together), atol=1e-5)


def test_shapes(classifier: FitResult, tagger: FitResult) -> None:
    long = TaggedExample(1, ("bike",) * 100)
    none = TaggedExample(2, ())
    words = logits(tagger.path, [long, none, TaggedExample(3, ("anna",))])
    assert [rows.shape for rows in words] == [(100, 4), (0, 4), (1, 4)]
    assert (words[0][70:].argmax(1) == 0).all()  # past the encoder's 64 positions
    assert logits(classifier.path, [Example(1, "")])[0].shape == (4,)
    assert logits(classifier.path, []) == []


def test_tokens_that_training_never_saw_are_answered(classifier: FitResult) -> None:
    (row,) = logits(classifier.path, [Example(1, "QUESTION 99? zzz ünïcode 自行车")])
    assert np.isfinite(row).all()


def test_the_module_takes_a_mask_of_any_kind_or_none(classifier: FitResult) -> None:
    model = checkpoint.load(classifier.path)
    ids = torch.tensor([model.tokenizer.encode("my bike is gone").ids])
    with torch.inference_mode():
        plain = model.module(ids)
        for mask in (torch.ones_like(ids), torch.ones_like(ids, dtype=torch.bool)):
            torch.testing.assert_close(model.module(ids, mask), plain)
        padded = torch.nn.functional.pad(ids, (0, 3))
        mask = torch.nn.functional.pad(torch.ones_like(ids), (0, 3))
        torch.testing.assert_close(model.module(padded, mask), plain, atol=1e-5, rtol=1e-4)
    assert not model.module.training


def test_the_tokenizer_neither_pads_nor_cuts(classifier: FitResult) -> None:
    tokenizer = checkpoint.load(classifier.path).tokenizer
    assert tokenizer.padding is None
    assert tokenizer.truncation is None


def test_a_trained_model_is_taken_as_base(
    classifier: FitResult, train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    further = dataclasses.replace(recipe, base=str(classifier.path), epochs=2)
    result = fit(train_texts, dev_texts, further, tmp_path / "model")
    assert result.score > 0.9
    assert result.base_sha256 != classifier.base_sha256


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no trained model"):
        logits(tmp_path, [])


def test_another_format_is_named(copy: Path) -> None:
    meta = json.loads((copy / "freehold.json").read_text())
    (copy / "freehold.json").write_text(json.dumps({**meta, "format": 99}))
    with pytest.raises(TrainError, match="99"):
        checkpoint.load(copy)
    (copy / "freehold.json").write_text("{}")
    with pytest.raises(TrainError, match="not what Freehold writes"):
        checkpoint.load(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_file_is_one_sentence(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:40])
    with pytest.raises(TrainError) as caught:
        checkpoint.load(copy)
    assert "\n" not in caught.value.sentence()
    (copy / name).unlink()
    with pytest.raises(TrainError):
        checkpoint.load(copy)
