"""Batches of some labels with some examples each: balanced, repeatable, and small however much."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from freehold.train.fewshot.sampler import Sampler

TARGETS = st.lists(st.integers(0, 6), min_size=2, max_size=40)


@given(TARGETS, st.integers(1, 8), st.integers(1, 5), st.integers(0, 3), st.integers(0, 1000))
def test_a_batch_has_so_many_labels_with_so_many_examples_each(
    targets: list[int], labels: int, each: int, seed: int, step: int
) -> None:
    sampler = Sampler(targets, labels=labels, each=each, seed=seed)
    batch = sampler(step)
    found = Counter(targets[number] for number in batch)
    assert len(batch) == sampler.size
    # Where a turn through the labels ends within a batch, a label may come again.
    assert all(count % each == 0 for count in found.values())
    assert len(found) <= min(labels, len(set(targets)))
    assert Sampler(targets, labels=labels, each=each, seed=seed)(step) == batch


@given(TARGETS, st.integers(1, 8), st.integers(0, 3))
def test_every_label_comes_once_in_each_turn(targets: list[int], labels: int, seed: int) -> None:
    sampler = Sampler(targets, labels=labels, each=2, seed=seed)
    count = len(set(targets))
    steps = count  # so many batches are whole turns
    found = Counter(targets[number] for step in range(steps) for number in sampler(step))
    assert set(found) == set(targets)
    assert len(set(found.values())) == 1


@given(TARGETS, st.integers(0, 50))
def test_an_example_comes_twice_only_where_its_label_has_too_few(
    targets: list[int], step: int
) -> None:
    sampler = Sampler(targets, labels=1, each=3, seed=0)
    repeats = Counter(sampler(step))
    for number, count in repeats.items():
        if targets.count(targets[number]) >= 3:
            assert count == 1


def test_memory_grows_with_the_data_and_not_with_its_square() -> None:
    def peak(examples: int) -> int:
        targets = np.arange(examples) % 20
        tracemalloc.start()
        sampler = Sampler(targets, labels=16, each=4, seed=0)
        for step in range(50):
            sampler(step)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(20_000) < 20 * peak(2_000)  # of the square it would be a hundred times
