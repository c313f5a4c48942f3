"""A batch's time is shared out exactly."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.meter.cost import apportion

weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=300)


@given(st.integers(0, 10**12), weights)
def test_shares_sum_exactly_and_are_near_their_exact_value(total: int, parts: list[int]) -> None:
    shares = apportion(total, parts)
    whole = sum(parts)
    assert sum(shares) == total
    assert all(share >= 0 for share in shares)
    if whole:
        assert all(
            abs(share * whole - total * part) < whole
            for share, part in zip(shares, parts, strict=True)
        )


@given(st.integers(0, 10**9), weights)
def test_who_weighs_more_never_pays_less(total: int, parts: list[int]) -> None:
    by_weight = sorted(zip(parts, apportion(total, parts), strict=True))
    for (lighter, less), (heavier, more) in itertools.pairwise(by_weight):
        assert less <= more + (lighter == heavier)


def test_examples() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(7, [0, 0]) == [4, 3]
    assert apportion(100, [1, 0, 3]) == [25, 0, 75]
    assert apportion(0, [5, 5]) == [0, 0]
    assert apportion(0, []) == []


@pytest.mark.parametrize(("total", "parts"), [(-1, [1]), (1, [-1, 2]), (1, [])])
def test_nonsense_is_refused(total: int, parts: list[int]) -> None:
    with pytest.raises(ValueError):
        apportion(total, parts)
