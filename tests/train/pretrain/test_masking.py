"""Masking: whole words, in the shares that were asked for, anew each time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import TrainError
from freehold.testing import tiny_encoder
from freehold.train.encoders import load_tokenizer
from freehold.train.pretrain.corpus import masked_documents
from freehold.train.pretrain.masking import Masking, mask_token, mask_tokens

MASK = 4
HOW = Masking(0.15, MASK, torch.arange(5, 50))
WORDS = st.lists(st.lists(st.integers(-1, 6), min_size=1, max_size=12), min_size=1, max_size=5)


@given(WORDS, st.integers(0, 99))
def test_only_words_are_hidden_and_whole_ones(words: list[list[int]], seed: int) -> None:
    width = max(map(len, words))
    padded = torch.tensor([row + [-1] * (width - len(row)) for row in words])
    ids = torch.full(padded.shape, 7)
    generator = torch.Generator().manual_seed(seed)
    read, chosen = mask_tokens(ids, padded, HOW, generator=generator)
    assert not chosen[padded < 0].any()
    assert torch.equal(read[~chosen], ids[~chosen])
    for row, numbers in enumerate(padded):
        for word in set(numbers.tolist()) - {-1}:
            assert len(set(chosen[row][numbers == word].tolist())) == 1
    assert chosen.any() == (padded >= 0).any()


def test_the_shares_are_those_of_bert() -> None:
    words = torch.arange(400).expand(50, 400)
    ids = torch.full((50, 400), 3)
    read, chosen = mask_tokens(ids, words, HOW, generator=torch.Generator().manual_seed(0))
    found = read[chosen]
    # 20,000 words: three standard errors are 0.0076 of all, and 0.022 of the chosen 3,000.
    assert chosen.float().mean().item() == pytest.approx(0.15, abs=0.0076)
    assert (found == MASK).float().mean().item() == pytest.approx(0.8, abs=0.022)
    assert (found == 3).float().mean().item() == pytest.approx(0.1, abs=0.017)
    others = found[(found != MASK) & (found != 3)]
    assert set(others.tolist()) == set(range(5, 50))


def test_masks_are_drawn_anew() -> None:
    words = torch.arange(100).expand(2, 100)
    torch.manual_seed(0)
    first = mask_tokens(torch.full((2, 100), 7), words, HOW)[1]
    assert not torch.equal(first, mask_tokens(torch.full((2, 100), 7), words, HOW)[1])


def test_words_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny", vocab_words=["bike"])
    found = masked_documents(load_tokenizer(folder), ["my bike, ok", "  ", "中文"], 64)
    # m ##y | bike | , | o ##k between the marks; Han characters have no token but "unknown".
    assert found.words[0].tolist() == [-1, 0, 0, 1, 2, 3, 3, -1]
    assert len(found) == 2


def test_long_texts_become_several_documents(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny", vocab_words=["bike"])
    tokenizer = load_tokenizer(folder)
    found = masked_documents(tokenizer, ["bike " * 20], 8)
    assert [len(ids) for ids in found.ids] == [8, 8, 8, 4]
    assert all(ids[0] == found.ids[0][0] and ids[-1] == found.ids[0][-1] for ids in found.ids)


def test_the_mask_token_is_found_by_name_or_missed_aloud(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "tiny")
    tokenizer = load_tokenizer(folder)
    assert mask_token(folder, tokenizer) == MASK
    (folder / "tokenizer_config.json").write_text(json.dumps({"mask_token": {"content": "[SEP]"}}))
    assert mask_token(folder, tokenizer) == 3
    (folder / "tokenizer_config.json").unlink()
    spoilt = (folder / "tokenizer.json").read_text().replace("[MASK]", "[HIDE]")
    (folder / "tokenizer.json").write_text(spoilt)
    with pytest.raises(TrainError, match="no mask token") as caught:
        mask_token(folder, load_tokenizer(folder))
    assert "--objective" in str(caught.value.hint)
