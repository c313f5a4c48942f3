"""Checkpoints of a random encoder, made once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from checkpoints import LABELS, TAGS, WORDS, labelled, write_checkpoint

from freehold.tasks.types import Dataset
from freehold.testing import tiny_encoder


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny", vocab_words=WORDS)


@pytest.fixture(scope="session")
def text_checkpoint(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "texts"
    return write_checkpoint(encoder, folder, "text-classification", LABELS)


@pytest.fixture(scope="session")
def words_checkpoint(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "words"
    return write_checkpoint(encoder, folder, "token-classification", TAGS)


@pytest.fixture(scope="session")
def text_dev(text_checkpoint: Path) -> Dataset:
    return labelled(text_checkpoint, "text-classification")


@pytest.fixture(scope="session")
def words_dev(words_checkpoint: Path) -> Dataset:
    return labelled(words_checkpoint, "token-classification")
