"""A training example of two rows: both stand in one batch, padded together, and count once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from freehold.tasks.types import PairExample
from freehold.train.adapter import adapter_of
from freehold.train.batches import epoch_plan
from freehold.train.encoders import load_tokenizer
from freehold.train.loop import Material

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=20)


def material(lengths: list[tuple[int, int]]) -> Material:
    """Pairs whose rows hold their own number throughout, so that a batch tells where they went."""
    ids = [np.full(length, 1 + n, np.int32) for n, pair in enumerate(lengths) for length in pair]
    targets = [np.array(n, np.float32) for n in range(len(lengths))]
    return Material(ids, targets, 0, parts=2)


@given(LENGTHS, st.integers(0, 3))
def test_every_pair_stands_once_and_whole_in_the_batches_of_an_epoch(
    lengths: list[tuple[int, int]], epoch: int
) -> None:
    given_material = material(lengths)
    tokens = given_material.lengths()
    assert tokens.tolist() == [2 * max(pair) for pair in lengths]
    seen: list[int] = []
    for numbers in epoch_plan(tokens, 64, seed=1, epoch=epoch):
        batch = given_material.batch(numbers, torch.device("cpu"))
        assert batch.ids.shape[0] == 2 * len(numbers)
        assert len(numbers) == 1 or batch.ids.numel() <= 64
        assert given_material.examples(numbers) == len(numbers)
        for row, number in enumerate(numbers):
            assert batch.targets[row].item() == number
            for part in range(2):
                ids = batch.ids[2 * row + part]
                assert ids[ids > 0].tolist() == [1 + number] * lengths[number][part]
        seen += numbers
    assert sorted(seen) == list(range(len(lengths)))


def test_the_rows_of_a_pair_are_its_texts_in_order(encoder: Path) -> None:
    tokenizer = load_tokenizer(encoder)
    examples = [
        PairExample(1, "my bike", "the bike", score=4.0),
        PairExample(2, "a", "b", score=1.0),
    ]
    adapter = adapter_of("sentence-embedding")
    rows = adapter.encode(tokenizer, examples, 16)
    texts = ["my bike", "the bike", "a", "b"]
    assert [ids.tolist() for ids in rows.ids] == [tokenizer.encode(text).ids for text in texts]
    assert rows.types is None
    assert [list(rows.of(n)) for n in range(2)] == [[0, 1], [2, 3]]
    targets = adapter.targets(rows, examples, [])
    assert [float(target) for target in targets] == [4.0, 1.0]


def test_two_texts_in_one_row_are_told_apart(encoder: Path) -> None:
    tokenizer = load_tokenizer(encoder)
    adapter = adapter_of("pair-classification")
    example = PairExample(1, "my bike", "lost", label="a")
    rows = adapter.encode(tokenizer, [example], 16)
    assert rows.types is not None
    assert len(rows.ids) == 1
    names = [tokenizer.id_to_token(number) for number in rows.ids[0]]
    assert names == ["[CLS]", "my", "bike", "[SEP]", "lost", "[SEP]"]
    assert rows.types[0].tolist() == [0, 0, 0, 0, 1, 1]
