"""Fixtures of the tests of training: a tiny encoder, and what it learns in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
from little import WORDS, sentences, texts

from freehold.tasks.types import Dataset
from freehold.testing import tiny_encoder
from freehold.train.recipe import Recipe


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", vocab_words=WORDS)


@pytest.fixture(scope="session")
def recipe(encoder: Path) -> Recipe:
    """Fast, but with dropout everywhere, so that what is said of generators is put to the test."""
    return Recipe(
        base=str(encoder),
        epochs=8,
        learning_rate=5e-3,
        batch_tokens=64,
        encoder_dropout=0.1,
        threads=1,
        seed=3,
    )


@pytest.fixture(scope="session")
def train_texts() -> Dataset:
    return texts(96, seed=1)


@pytest.fixture(scope="session")
def dev_texts() -> Dataset:
    return texts(40, seed=2)


@pytest.fixture(scope="session")
def train_sentences() -> Dataset:
    return sentences(96, seed=1)


@pytest.fixture(scope="session")
def dev_sentences() -> Dataset:
    return sentences(40, seed=2)
