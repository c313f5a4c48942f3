"""A teacher of four layers that has learnt its task, for students to learn from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from little import WORDS

from freehold.tasks.types import Dataset
from freehold.testing import tiny_encoder
from freehold.train.finetune import fit
from freehold.train.recipe import Recipe


@pytest.fixture(scope="session")
def deep(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The recipe of the teachers: from an encoder of four layers."""
    folder = tmp_path_factory.mktemp("encoder") / "deep"
    base = tiny_encoder(folder, vocab_words=WORDS, layers=4)
    return dataclasses.replace(recipe, base=str(base), learning_rate=3e-3, encoder_dropout=0.0)


@pytest.fixture(scope="session")
def teacher(
    deep: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return fit(train_texts, dev_texts, deep, tmp_path_factory.mktemp("teacher") / "texts").path


@pytest.fixture(scope="session")
def tagger(
    deep: Recipe,
    train_sentences: Dataset,
    dev_sentences: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "sentences"
    return fit(train_sentences, dev_sentences, deep, folder).path
