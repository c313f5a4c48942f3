"""The likeliest valid tags, against trying every sequence."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from freehold.tasks.bio import best_tags, to_bio
from freehold.tasks.registry import task_of

LABELS = ("O", "B-A", "I-A", "B-B", "I-B")
ROWS = st.integers(0, 4).flatmap(
    lambda words: arrays(np.float32, (words, len(LABELS)), elements=st.integers(-9, 9))
)


def valid(tags: tuple[str, ...]) -> bool:
    return to_bio(tags) == tags


@given(ROWS)
def test_no_valid_sequence_is_likelier(logits: np.ndarray) -> None:
    found = best_tags(logits, LABELS)
    assert valid(tuple(LABELS[number] for number in found))
    best = max(
        (
            sum(float(logits[word, number]) for word, number in enumerate(path))
            for path in itertools.product(range(len(LABELS)), repeat=len(logits))
            if valid(tuple(LABELS[number] for number in path))
        ),
        default=0.0,
    )
    assert sum(float(logits[word, number]) for word, number in enumerate(found)) == best


def test_an_inside_tag_that_nothing_could_begin_is_left_as_it_is() -> None:
    labels = ("O", "I-A")
    logits = np.array([[0, 1], [1, 0], [0, 1]], np.float32)
    assert best_tags(logits, labels).tolist() == [1, 0, 1]


def test_the_weaker_of_two_words_gives_way() -> None:
    begin_is_weak = np.array([[2, 1, 0, 0, 0], [0, 0, 9, 0, 0]], np.float32)
    assert best_tags(begin_is_weak, LABELS).tolist() == [1, 2]
    inside_is_weak = np.array([[9, 1, 0, 0, 0], [1, 0, 2, 0, 0]], np.float32)
    assert best_tags(inside_is_weak, LABELS).tolist() == [0, 0]


def test_engines_agree_where_the_answered_tags_are_the_same() -> None:
    task = task_of("token-classification")
    begun = np.array([[2, 1, 0, 0, 0], [0, 0, 9, 0, 0]], np.float32)  # answered B-A I-A
    other = np.array([[1, 2, 0, 0, 0], [0, 0, 9, 0, 0]], np.float32)  # the same, best word by word
    third = np.array([[9, 1, 0, 0, 0], [1, 0, 2, 0, 0]], np.float32)  # answered O O
    assert task.agreement([begun], [other], LABELS, {}) == 1.0
    assert task.agreement([begun, begun], [other, third], LABELS, {}) == 0.5
