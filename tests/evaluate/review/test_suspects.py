"""Label errors that were planted are found, and what to label next is unsure and diverse."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from freehold.errors import DataError
from freehold.evaluate.review.features import chances, folds_of, judged
from freehold.evaluate.review.suspects import find_suspects
from freehold.evaluate.review.wanted import choose, find_wanted
from freehold.tasks.types import Dataset, Example
from freehold.testing import tiny_encoder
from freehold.train.encoders import EncoderFiles, find

KEYS = ("lost", "refund", "repair", "price")
FILLERS = ("please", "my", "the", "bike", "today", "hello", "again", "now")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> EncoderFiles:
    folder = tmp_path_factory.mktemp("review") / "tiny"
    return find(str(tiny_encoder(folder, vocab_words=[*KEYS, *FILLERS], hidden=96, layers=1)))


def dataset(examples: list[Example]) -> Dataset:
    return Dataset(Path("a.csv"), "text-classification", examples, "0", "csv", "utf-8", {}, False)


def texts(count: int, seed: int = 0) -> list[Example]:
    """Each with the one key word that is its label."""
    chance = random.Random(seed)
    found = []
    for row in range(count):
        key = KEYS[row % len(KEYS)]
        words = [*chance.choices(FILLERS, k=3), key]
        chance.shuffle(words)
        found.append(Example(row + 2, " ".join(words), key))
    return found


def test_planted_errors_are_found_with_what_they_should_be(files: EncoderFiles) -> None:
    examples = texts(400)
    chance = random.Random(1)
    wrong = set(chance.sample(range(400), 12))
    for number in wrong:
        right = examples[number]
        other = chance.choice([key for key in KEYS if key != right.label])
        examples[number] = Example(right.row, right.text, other)
    found = find_suspects(dataset(examples), files, max_length=32, threads=1)
    rows = {examples[number].row for number in wrong}
    named = [suspect for suspect in found.found if suspect.row in rows]
    assert len(named) >= 9
    assert len(found.found) <= 30
    for suspect in named:
        assert suspect.suggested in suspect.text
        assert suspect.quality < suspect.confidence
    assert found.n == 400
    qualities = [suspect.quality for suspect in found.found]
    assert qualities == sorted(qualities)


def test_labels_with_too_few_texts_are_left_out_and_said(files: EncoderFiles) -> None:
    examples = [*texts(80), Example(99, "hello again", "once"), Example(100, "now", "twins")]
    examples.append(Example(101, "NOW", "twins"))
    found = find_suspects(dataset(examples), files, max_length=32, threads=1)
    assert found.left_out == {"once": 1, "twins": 2}
    assert found.n == 80
    assert {suspect.given for suspect in found.found} <= set(KEYS)


def test_what_cannot_be_judged_is_a_sentence() -> None:
    with pytest.raises(DataError, match="1 label with"):
        judged(dataset([Example(1, "a", "x"), Example(2, "b", "x"), Example(3, "c", "y")]))
    with pytest.raises(DataError, match="no label in line 2"):
        judged(dataset([Example(1, "a", "x"), Example(2, "b")]))
    tagged = Dataset(Path("a"), "token-classification", [], "0", "conll", "utf-8", {}, False)
    with pytest.raises(DataError, match="one label each"):
        judged(tagged)


def test_twins_share_a_fold_and_every_label_is_spread() -> None:
    texts_ = [f"text {n // 2}" if n % 2 else f"TEXT  {n // 2}" for n in range(60)]
    targets = np.repeat([0, 1, 2], 20)
    fold = folds_of(texts_, targets, 5, 3)
    assert (fold[::2] == fold[1::2]).all()
    for target in range(3):
        assert (np.bincount(fold[targets == target], minlength=5) == 4).all()
    assert not (fold == folds_of(texts_, targets, 5, 4)).all()
    # A label of two texts is in two folds, so that each is judged by the other.
    assert len(set(folds_of(["a", "b"], np.array([0, 0]), 5, 0).tolist())) == 2


def test_a_label_that_was_not_learnt_has_no_chance() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    targets = (rows[:, 0] > 0).astype(np.int64)
    found = chances(rows, targets, 3, rows)
    assert found.shape == (20, 3)
    assert not found[:, 2].any()
    np.testing.assert_allclose(found.sum(1), 1)
    with pytest.raises(DataError, match="one label only"):
        chances(rows, np.zeros(20, np.int64), 3, rows)


def test_the_next_choice_is_far_from_those_before() -> None:
    known = np.array([[1.0, 0], [0.9, 0.1], [-1, 0.05]], np.float32)
    asked = np.array([[0, 1], [0.01, 1], [0, -1], [1, 0]], np.float32)
    unsure = np.array([0.8, 0.9, 0.7, 1.0])
    order = [place for place, _ in choose(unsure, asked, known, 4)]
    assert order[:2] == [1, 2]  # its near twin 0 waits, though it is less sure than 2
    assert order[-1] in (0, 3)
    sure = choose(np.array([0.0, 0.9, 0.7, 1.0]), asked, known, 4)
    assert 0 not in [place for place, _ in sure]  # there is nothing to learn from it


def test_a_text_that_is_labelled_already_is_not_wanted(files: EncoderFiles) -> None:
    examples = texts(60)
    fresh = [Example(1, "please refund the lost bike"), Example(2, "hello price repair today")]
    pool = dataset([*(Example(e.row + 10, e.text) for e in examples[:20]), *fresh])
    found = find_wanted(dataset(examples), pool, files, most=5, max_length=32, threads=1)
    assert {wanted.row for wanted in found} == {1, 2}
    assert all(0 <= wanted.margin <= 1 and wanted.distance > 0 for wanted in found)
    with pytest.raises(DataError, match="no text"):
        find_wanted(dataset(examples), dataset([]), files, most=5, max_length=32)
