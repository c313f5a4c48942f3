"""Logits of overlapping windows joined: every word once, every candidate once, whatever is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from freehold.tasks.registry import task_of
from freehold.tasks.tokenise import MOST_WINDOWS, Encoded, Tokeniser, Window
from freehold.testing import tiny_encoder

LENGTH = 12
WORDS = st.lists(st.sampled_from(["bike", "my", "xq", "a", "longword", "."]), max_size=60)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tiny_encoder(tmp_path_factory.mktemp("join") / "tiny", vocab_words=["bike", "my"])
    return Tokenizer.from_file(str(folder / "tokenizer.json")).to_str()


def test_joined_candidates_are_the_best_of_all_windows_and_no_span_stands_twice() -> None:
    task = task_of("question-answering")
    # Characters 0-3 and 4-7 stand in both windows, 8-9 in the second alone.
    first = Window(np.zeros(3, np.int32), None, np.array([[-1, -1], [0, 3], [4, 7]]))
    second = Window(np.zeros(4, np.int32), None, np.array([[-1, -1], [0, 3], [4, 7], [8, 9]]))
    encoded = Encoded((first, second), 7, False, "one two x")
    rows = [
        np.array([[4, 0], [1, 5], [0, 0]], np.float32),
        np.array([[1, 1], [3, 2], [0, 1], [0, 9]], np.float32),
    ]
    joined = task.join(encoded, rows, ["start", "end"])
    assert joined[0].tolist() == [0, 0, 2]  # the least of 4 + 0 and 1 + 1
    spans = [tuple(row[:2]) for row in joined[1:].tolist()]
    assert len(set(spans)) == len(spans) == 6
    figures = dict(zip(spans, joined[1:, 2].tolist(), strict=True))
    # 0-3 has 1 + 5 in the first window and 3 + 2 in the second; the better one stays.
    assert figures == {(0, 9): 12, (4, 9): 9, (8, 9): 9, (0, 3): 6, (0, 7): 4, (4, 7): 1}
    assert (np.diff(joined[1:, 2]) <= 0).all()


@settings(deadline=None, max_examples=60)
@given(WORDS, st.integers(0, 2**16))
def test_every_word_gets_the_logits_of_one_of_its_own_tokens(
    tokenizer: str, words: list[str], seed: int
) -> None:
    task = task_of("token-classification")
    tokeniser = Tokeniser(Tokenizer.from_str(tokenizer), LENGTH, windows=True)
    (encoded,) = task.encode(tokeniser, [tuple(words)])
    random = np.random.default_rng(seed)
    rows = [random.normal(size=(len(w.ids), 3)).astype(np.float32) for w in encoded.windows]
    joined = task.join(encoded, rows, ["O", "B-X", "I-X"])
    assert joined.shape == (len(words), 3)
    assert len(encoded.windows) <= MOST_WINDOWS
    for word, found in enumerate(joined):
        own = [
            row[place]
            for window, row in zip(encoded.windows, rows, strict=True)
            for place in np.flatnonzero(window.words == word)
        ]
        assert own, "no word of a text that is not cut goes without a token"
        assert any((found == figures).all() for figures in own)
        if len(own) == 1:
            assert (found == own[0]).all()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(["bike", "my", "xq", "a"]), min_size=1, max_size=60), st.data())
def test_an_answer_is_found_wherever_it_stands(
    tokenizer: str, words: list[str], data: st.DataObject
) -> None:
    task = task_of("question-answering")
    tokeniser = Tokeniser(Tokenizer.from_str(tokenizer), LENGTH, windows=True, question=True)
    context = " ".join(words)
    (encoded,) = task.encode(tokeniser, [("my", context)])
    place = data.draw(st.integers(0, len(words) - 1))
    start = len(" ".join(words[:place])) + (place > 0)
    end = start + len(words[place])
    rows = []
    for window in encoded.windows:
        assert window.spans is not None
        sure = np.zeros((len(window.ids), 2), np.float32)
        inside = window.spans[:, 0] >= 0
        sure[inside & (window.spans[:, 0] == start), 0] = 9.0
        sure[inside & (window.spans[:, 1] == end), 1] = 9.0
        rows.append(sure)
    joined = task.join(encoded, rows, ["start", "end"])
    answer = task.answer(encoded, joined, ["start", "end"], {})
    assert (answer.start, answer.end) == (start, end)
    assert answer.answer == words[place]
    spans = joined[1:, :2]
    assert len(np.unique(spans, axis=0)) == len(spans)
