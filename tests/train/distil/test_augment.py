"""New texts: as many as asked, of the words there are, without labels, from the seed alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import TrainError
from freehold.tasks.types import Example, TaggedExample
from freehold.train.distil.augment import stretched

WORDS = st.lists(st.sampled_from(["a", "b", "c", "dd", "eee"]), min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=6), st.integers(0, 3), st.integers(0, 9))
def test_texts_of_known_words_without_labels(texts: list[list[str]], times: int, seed: int) -> None:
    examples = [Example(row, " ".join(words), "x") for row, words in enumerate(texts, 1)]
    made = stretched(examples, times, seed)
    assert len(made) == times * len(examples)
    known = {word for words in texts for word in words}
    for example in made:
        assert example.label is None
        assert example.text
        assert set(example.text.split()) <= known
    assert made == stretched(examples, times, seed)


@given(st.lists(WORDS, min_size=1, max_size=6), st.integers(0, 9))
def test_sentences_have_words_and_no_tags(texts: list[list[str]], seed: int) -> None:
    examples = [TaggedExample(1, tuple(words), ("O",) * len(words)) for words in texts]
    for example in stretched(examples, 2, seed):
        assert example.tokens
        assert example.tags is None


def test_other_seeds_make_other_texts() -> None:
    examples = [Example(row, "one two three four five six", "x") for row in range(20)]
    assert stretched(examples, 1, 0) != stretched(examples, 1, 1)


def test_what_is_no_text_cannot_be_stretched() -> None:
    with pytest.raises(TrainError, match="not of a int"):
        stretched([3], 1, 0)
