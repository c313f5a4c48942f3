"""An encoder without a task as teacher: the student gives texts its vectors, and is a base."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from little import dataset, texts

from freehold.errors import TrainError
from freehold.train import checkpoint
from freehold.train.distil.encoder import distil_encoder
from freehold.train.encoders import find
from freehold.train.finetune import fit
from freehold.train.recipe import Recipe


def test_the_student_finds_alike_what_its_teacher_does(deep: Recipe, tmp_path: Path) -> None:
    corpus = texts(120, seed=4)
    recipe = dataclasses.replace(deep, epochs=6)
    found = distil_encoder(find(deep.base), corpus, recipe, tmp_path / "s", layers=2)
    assert found.teacher_score == pytest.approx(1.0)
    assert found.looked_at == 6
    assert found.fit.score > 0.5
    assert not list(tmp_path.glob(".*"))
    meta = checkpoint.read_meta(tmp_path / "s")
    assert (meta.task, meta.base) == ("sentence-embedding", deep.base)
    data = texts(24, seed=5)
    based = dataclasses.replace(deep, base=str(tmp_path / "s"), epochs=1)
    assert fit(data, data, based, tmp_path / "based").epochs == 1


def test_a_corpus_of_a_few_texts_is_a_sentence(deep: Recipe, tmp_path: Path) -> None:
    corpus = dataset(texts(15, seed=1).examples)
    with pytest.raises(TrainError, match="has 15 texts"):
        distil_encoder(find(deep.base), corpus, deep, tmp_path / "s", layers=2)
