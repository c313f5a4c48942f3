"""The figures of an answer: SQuAD's where words stand apart, a character each where they do not."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.tasks.squad import exact_match, overlap_f1, words


@pytest.mark.parametrize(
    ("answer", "right", "f1", "exact"),
    [
        ("the Eiffel Tower", [("Eiffel Tower.", 0)], 1.0, 1.0),
        ("Tower", [("Eiffel Tower", 0)], 2 / 3, 0.0),
        ("Rome", [("Paris", 0), ("Rome", 5)], 1.0, 1.0),
        ("the Rome of Rome", [("Rome", 0)], 2 / 4, 0.0),  # a word counts as often as it stands
        ("", [], 1.0, 1.0),
        ("Rome", [], 0.0, 0.0),
        ("", [("Rome", 0)], 0.0, 0.0),
        ("the", [("A.", 0)], 1.0, 1.0),  # both say nothing
        ("U.S.", [("US", 0)], 1.0, 1.0),
        ("US", [("the U.S.", 0)], 1.0, 1.0),
        ("well-known", [("well known", 0)], 0.0, 0.0),  # a hyphen is deleted, not a space
        ("1994–1996", [("1994 1996", 0)], 0.0, 0.0),  # only ASCII's marks are deleted
        ("$5", [("5", 0)], 1.0, 1.0),
        ("北京大学", [("北京", 0)], 2 / 3, 0.0),
        ("《北京》", [("北京", 1)], 1.0, 1.0),
        ("“北京”，", [("北京", 1)], 1.0, 1.0),
        ("北京 2008年", [("2008年", 3)], 2 * 2 / 6, 0.0),
        ("２００８年", [("2008年", 0)], 1.0, 1.0),
        ("カード", [("カ", 0)], 2 / 4, 0.0),
    ],
)
def test_figures_of_an_answer(
    answer: str, right: list[tuple[str, int]], f1: float, exact: float
) -> None:
    assert overlap_f1(answer, right) == pytest.approx(f1)
    assert exact_match(answer, right) == exact


@given(st.text(alphabet=st.sampled_from(list("aAn.the,-U'S é1$ \n")), max_size=20))
def test_words_are_lower_case_without_ascii_punctuation_and_articles(text: str) -> None:
    """In the order of SQuAD's paper: marks go first, so that "a.n" is the article "an"."""
    plain = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    assert words(text) == [word for word in plain.split() if word not in ("a", "an", "the")]
