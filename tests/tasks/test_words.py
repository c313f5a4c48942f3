"""Words of raw text: spans cover everything but spaces, and CoNLL's own tokens stay whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.tasks.words import split_words


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


@given(
    st.text() | st.text(alphabet=st.sampled_from(list("aB.1'-/() \n…,，你ー\u0301\u200d😀\ufe0f")))
)
def test_spans_are_in_order_and_cover_every_character_that_is_not_a_space(text: str) -> None:
    spans = split_words(text)
    end = 0
    for start, stop in spans:
        assert end <= start < stop
        assert text[end:start].strip() == ""
        assert not any(character.isspace() for character in text[start:stop])
        end = stop
    assert text[end:].strip() == ""


@pytest.mark.parametrize(
    "word",
    ["U.S.", "1996-08-22", "AC/DC", "don't", "a.m.", "Ph.D.", "3.5", "1,000", "O'Brien", "5-3",
     "user@example.com", "snake_case", "हिन्दी", "naïve", "re-elected", "...", "--"],
)  # fmt: skip
def test_inner_marks_keep_a_word_whole(word: str) -> None:
    assert words(word) == [word]
    assert words(f"({word})") == ["(", word, ")"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(Reuters).", ["(", "Reuters", ")", "."]),
        ("He left the U.S.", ["He", "left", "the", "U.S."]),
        ("the U.S., he", ["the", "U.S.", ",", "he"]),
        ('"U.S."', ['"', "U.S.", '"']),
        ("U.S.-based", ["U.S.-based"]),
        ("see www.example.com.", ["see", "www.example.com", "."]),
        ("It cost 3.5.", ["It", "cost", "3.5", "."]),
        ("J. Smith took plan B.", ["J.", "Smith", "took", "plan", "B", "."]),
        ("Where is my card?", ["Where", "is", "my", "card", "?"]),
        ("$1,000 (5%)", ["$", "1,000", "(", "5", "%", ")"]),
        ("wait...", ["wait", "..."]),
        ("great👍🏽 ❤️ 👩‍⚕️", ["great", "👍🏽", "❤️", "👩‍⚕️"]),
        ("我在GB/T标准，你好！", ["我", "在", "GB/T", "标", "准", "，", "你", "好", "！"]),
        ("カードが", ["カ", "ー", "ド", "が"]),
        ("ok，yes", ["ok", "，", "yes"]),
        ("", []),
        (" \n\t\u3000", []),
    ],
)
def test_marks_at_the_ends_are_split_off(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_a_long_chunk_takes_linear_work() -> None:
    text = "a" + "!" * 200_000 + " " + "a." * 100_000 + " " + "." * 200_000 + "(" * 100_000
    assert len(words(text)) > 300_000


@pytest.mark.shared
def test_newswire_tokens_stay_whole(shared: Path) -> None:
    """Of CoNLL-2003's dev words, nearly all come out of their sentence as they went in."""
    total = same = 0
    for line in (shared / "data/conll2003/dev.jsonl").read_text().splitlines():
        tokens = json.loads(line)["tokens"]
        spans = set(split_words(" ".join(tokens)))
        start = 0
        for token in tokens:
            total += 1
            same += (start, start + len(token)) in spans
            start += len(token) + 1
    assert total == 51_362
    assert same / total > 0.98
