"""Batches: never over the budget, every example once, the same from the same seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from freehold.train.batches import IGNORED, epoch_plan, pad_ids, pad_targets, plan

LENGTHS = st.lists(st.integers(2, 128), min_size=1, max_size=200).map(
    lambda lengths: np.array(lengths, np.int64)
)


@given(LENGTHS, st.integers(1, 2048), st.none() | st.integers(0, 99))
def test_a_batch_keeps_to_the_budget_unless_it_is_one_example(
    lengths: np.ndarray, budget: int, seed: int | None
) -> None:
    random = None if seed is None else np.random.default_rng(seed)
    batches = plan(lengths, budget, random=random)
    assert sorted(number for batch in batches for number in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= budget


def test_little_is_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 3000)
    batches = plan(lengths, 1024, random=np.random.default_rng(1))
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_an_epoch_is_planned_by_its_seed_and_number_alone() -> None:
    lengths = np.random.default_rng(0).integers(5, 60, 300)
    first = epoch_plan(lengths, 512, seed=7, epoch=1)
    assert epoch_plan(lengths, 512, seed=7, epoch=1) == first
    assert epoch_plan(lengths, 512, seed=7, epoch=2) != first
    assert epoch_plan(lengths, 512, seed=8, epoch=1) != first


def test_ids_are_padded_on_the_right_and_masked() -> None:
    ids = [np.array([2, 5, 3], np.int32), np.array([2, 3], np.int32)]
    rows, mask = pad_ids(ids, [1, 0], pad=9)
    assert rows.tolist() == [[2, 3, 9], [2, 5, 3]]
    assert mask is not None
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert pad_ids(ids, [0, 0], pad=9)[1] is None


def test_targets_are_one_an_example_or_one_a_token() -> None:
    assert pad_targets([np.array(3), np.array(1)], [1, 0]).tolist() == [1, 3]
    tokens = [np.array([IGNORED, 4]), np.array([IGNORED, 2, IGNORED])]
    assert pad_targets(tokens, [0, 1]).tolist() == [[IGNORED, 4, IGNORED], [IGNORED, 2, IGNORED]]
