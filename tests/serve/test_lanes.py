"""What makes a batch: the budget is kept, nothing is lost, the oldest never waits for the newer."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from freehold.serve.lanes import Item, Lane


@dataclass
class Text:
    length: int


def lane_of(lengths: list[int]) -> tuple[Lane, list[Item]]:
    lane = Lane(None)
    items = [Item(None, 0, Text(length), number) for number, length in enumerate(lengths)]
    for item in items:
        lane.add(item)
    return lane, items


lengths = st.lists(st.integers(1, 200), max_size=120)


@given(lengths, st.integers(1, 2000))
def test_every_item_runs_once_within_the_budget_and_the_oldest_first(
    given_lengths: list[int], budget: int
) -> None:
    lane, items = lane_of(given_lengths)
    waiting = list(items)
    while lane:
        oldest = lane.oldest()
        batch = lane.choose(budget)
        assert oldest is waiting[0]
        assert oldest in batch
        assert len(batch) == 1 or len(batch) * max(item.length for item in batch) <= budget
        assert len(set(map(id, batch))) == len(batch)
        for item in batch:
            waiting.remove(item)
    assert waiting == []
    assert lane.choose(budget) == []
    assert lane.oldest() is None


@given(lengths)
def test_padding_is_bounded(given_lengths: list[int]) -> None:
    lane, _ = lane_of(given_lengths)
    while batch := lane.choose(4096):
        padded = len(batch) * max(item.length for item in batch)
        assert padded - sum(item.length for item in batch) <= 8 + padded // 32


@given(lengths, st.data())
def test_removed_items_do_not_run(given_lengths: list[int], data: st.DataObject) -> None:
    lane, items = lane_of(given_lengths)
    gone = data.draw(st.lists(st.sampled_from(items), unique_by=id)) if items else []
    lane.remove(gone)
    lane.remove(gone)  # a second time it is ignored
    ran = []
    while batch := lane.choose(512):
        ran += batch
    assert {id(item) for item in ran} == {id(item) for item in items} - {id(item) for item in gone}


def test_texts_of_like_length_share_a_batch() -> None:
    lane, _ = lane_of([10, 100, 11, 101, 12, 99, 10])
    assert sorted(item.length for item in lane.choose(4096)) == [10, 10, 11, 12]
    assert sorted(item.length for item in lane.choose(4096)) == [99, 100, 101]


def test_among_equals_the_older_goes_first() -> None:
    lane, _ = lane_of([8] * 10)
    assert [item.number for item in lane.choose(32)] == [0, 1, 2, 3]
    assert [item.number for item in lane.choose(32)] == [4, 5, 6, 7]


def test_a_text_longer_than_the_budget_runs_alone() -> None:
    lane, _ = lane_of([500, 3, 500])
    assert [item.length for item in lane.choose(64)] == [500]
    assert [item.length for item in lane.choose(64)] == [3]
