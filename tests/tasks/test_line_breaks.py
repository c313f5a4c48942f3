"""Line breaks among words: kept apart from them, and shown to the encoder where they stand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from freehold.tasks.lines import LINE, breaks_between, mark_of, with_lines, without_lines
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.words import split_words
from freehold.testing import tiny_encoder

PIECES = st.lists(st.sampled_from(["Bike", "my", "xq", "a", "longword", ".", LINE]), max_size=60)
END = 3  # [SEP]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tiny_encoder(tmp_path_factory.mktemp("lines") / "tiny", vocab_words=["bike", "my"])
    return Tokenizer.from_file(str(folder / "tokenizer.json")).to_str()


def tokeniser(text: str, longest: int, *, lines: bool = True) -> Tokeniser:
    return Tokeniser(Tokenizer.from_str(text), longest, windows=True, casing=True, lines=lines)


def same(one: Encoded, other: Encoded) -> bool:
    return len(one.windows) == len(other.windows) and all(
        np.array_equal(a.ids, b.ids)
        and np.array_equal(a.words, b.words)
        and np.array_equal(a.types, b.types)
        for a, b in zip(one.windows, other.windows, strict=True)
    )


@given(PIECES)
def test_words_and_breaks_come_apart_and_together_again(pieces: list[str]) -> None:
    kept, breaks = without_lines(pieces)
    words = [pieces[number] for number in kept]
    assert words == [piece for piece in pieces if piece != LINE]
    assert all(0 < place < len(words) for place in breaks)
    assert list(breaks) == sorted(set(breaks))
    again = with_lines(words, breaks)
    assert " ".join(again).split() == " ".join(pieces).split()
    assert without_lines(again)[1] == breaks


@settings(deadline=None)  # the first call makes the splitter's pattern
@given(PIECES)
def test_a_text_has_the_breaks_of_its_words(pieces: list[str]) -> None:
    text = " ".join(pieces)
    assert breaks_between(text, split_words(text)) == without_lines(pieces)[1]


@settings(deadline=None)
@given(PIECES, st.integers(8, 80))
def test_each_break_is_one_token_between_its_words(
    tokenizer: str, pieces: list[str], longest: int
) -> None:
    reader = tokeniser(tokenizer, longest)
    kept, breaks = without_lines(pieces)
    (encoded,) = reader.words([pieces])
    assert encoded.words is not None
    assert len(encoded.words.carriers) == len(kept)
    assert encoded.text == " ".join(pieces[number] for number in kept)
    for window in encoded.windows:
        assert window.words is not None
        assert window.types is not None
        inner = np.flatnonzero(window.ids[:-1] == END)
        before, after = window.words[inner - 1], window.words[inner + 1]
        assert (window.words[inner] == -1).all()
        assert not window.types[inner].any()
        # A window may end behind a break, or begin inside the word before it.
        ends = inner + 1 == len(window.ids) - 1
        assert all(place in breaks for place in after[~ends].tolist())
        assert (before < np.where(ends, len(kept), after)).all()
        found = set(after[~ends].tolist())
        within = {place for place in breaks if place in window.words[2:].tolist()}
        assert within <= found
    (raw,) = reader.raw_words([" ".join(pieces)])
    assert same(raw, encoded)


@settings(deadline=None)
@given(PIECES, st.integers(8, 30))
def test_who_has_not_learnt_them_reads_the_words_alone(
    tokenizer: str, pieces: list[str], longest: int
) -> None:
    reader = tokeniser(tokenizer, longest, lines=False)
    bare = [piece for piece in pieces if piece != LINE]
    found = reader.words([pieces, bare])
    assert same(*found)
    assert same(reader.raw_words([" ".join(pieces)])[0], found[1])


def test_of_endless_texts_the_beginning_is_read_with_its_lines(tokenizer: str) -> None:
    reader = tokeniser(tokenizer, 8)
    pieces = ["my", LINE, "bike"] * 9_000
    encoded, other = *reader.words([pieces]), *reader.raw_words([" ".join(pieces)])
    assert encoded.truncated
    assert other.truncated
    assert same(encoded, other)
    assert END in encoded.windows[0].ids[1:-1]


def test_a_tokenizer_that_ends_texts_by_nothing_has_no_mark(tokenizer: str, tmp_path: Path) -> None:
    whole = Tokenizer.from_str(tokenizer)
    assert mark_of(whole) == "[SEP]"
    bare = Tokenizer.from_str(tokenizer)
    bare.post_processor = None
    assert mark_of(bare) is None
    words = Tokeniser(bare, 8, lines=True).words([["my", LINE, "bike"]])[0].words
    assert words is not None
    assert len(words.carriers) == 2
    begun = Tokenizer.from_str(tokenizer)
    begun.post_processor = TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", begun.token_to_id("[CLS]"))]
    )
    assert mark_of(begun) is None, "what begins a text does not end one"


def test_to_know_what_an_example_is_no_tokenizer_is_needed() -> None:
    code = "import sys, freehold.tasks.types; assert 'tokenizers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
