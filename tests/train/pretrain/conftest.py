"""Fixtures of the tests of pretraining: a corpus of a few hundred little texts, a decoder."""

from __future__ import annotations

from pathlib import Path

import pytest
from decoders import tiny_decoder
from little import texts

from freehold.train.pretrain.corpus import Corpus, corpus_of


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return corpus_of(texts(200, seed=5))


@pytest.fixture(scope="session")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("decoder") / "gpt2")
