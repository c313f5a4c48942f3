"""The shapes of words, and that every token of a word carries its own in every window."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from freehold.tasks.casing import SHAPES, shape
from freehold.tasks.tokenise import Tokeniser
from freehold.testing import tiny_encoder

WORDS = ["rome", "bank", "met", "Rome", "NATO", "iPhone", "McDonald", "I", "1996", "ab-cd", "中文"]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("bank", 0), ("1996-08-30", 0), ("中文", 0), ("", 0), ("'s", 0),
        ("Rome", 1), ("É", 2), ("I", 2), ("J.", 2), ("U.S.", 3), ("NATO", 3),
        ("McDonald", 4), ("All-Star", 4), ("iPhone", 5), ("-Rome", 5),
    ],
)  # fmt: skip
def test_shapes(word: str, expected: int) -> None:
    assert shape(word) == expected


@given(st.text())
def test_every_word_has_a_shape_and_small_letters_have_none(word: str) -> None:
    assert 0 <= shape(word) < SHAPES
    assert shape(word.lower()) == 0 or word.lower().lower() != word.lower()


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_encoder(tmp_path_factory.mktemp("e") / "tiny", vocab_words=["rome", "bank"])
    return folder / "tokenizer.json"


@given(st.lists(st.sampled_from(WORDS), max_size=40), st.integers(8, 20))
def test_tokens_carry_the_shape_of_their_word(
    tokenizer_file: Path, words: list[str], longest: int
) -> None:
    tokeniser = Tokeniser(
        Tokenizer.from_file(str(tokenizer_file)), longest, windows=True, casing=True
    )
    (encoded,) = tokeniser.words([words])
    assert encoded.words is not None
    for number, word in enumerate(words):
        if (place := encoded.words.carriers[number]) >= 0:
            window = encoded.windows[encoded.words.windows[number]]
            assert window.types is not None
            assert window.types[place] == shape(word)
    for window in encoded.windows:
        assert window.types is not None
        assert len(window.types) == len(window.ids)
        assert not window.types[[0, -1]].any()
    (raw,) = tokeniser.raw_words([" ".join(words)])
    if not any("-" in word for word in words):  # which split_words takes apart
        for one, other in zip(raw.windows, encoded.windows, strict=True):
            assert one.types is not None
            assert np.array_equal(one.types, other.types)


def test_without_casing_there_are_no_types(tokenizer_file: Path) -> None:
    tokeniser = Tokeniser(Tokenizer.from_file(str(tokenizer_file)), 16, windows=True)
    (encoded,) = tokeniser.words([["Rome"]])
    assert encoded.windows[0].types is None
