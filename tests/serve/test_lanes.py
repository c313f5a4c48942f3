"""What makes a batch: the budget is kept, nothing is lost, the leader is in it, padding is rare."""

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
    items = [Item(None, 0, Text(length), number, "c") for number, length in enumerate(lengths)]
    for item in items:
        lane.add(item)
    return lane, items


def choose(lane: Lane, items: list[Item], budget: int) -> list[Item]:
    """The next batch, led by the oldest item that waits."""
    oldest = next((item for item in items if not item.taken), None)
    return lane.choose(oldest, budget) if oldest else []


lengths = st.lists(st.integers(1, 200), max_size=120)


@given(lengths, st.integers(1, 2000))
def test_every_item_runs_once_within_the_budget_and_the_oldest_first(
    given_lengths: list[int], budget: int
) -> None:
    lane, items = lane_of(given_lengths)
    waiting = list(items)
    while lane:
        batch = choose(lane, items, budget)
        assert waiting[0] in batch
        assert len(batch) == 1 or len(batch) * max(item.length for item in batch) <= budget
        assert len(set(map(id, batch))) == len(batch)
        for item in batch:
            waiting.remove(item)
    assert waiting == []


@given(lengths)
def test_padding_is_bounded(given_lengths: list[int]) -> None:
    lane, items = lane_of(given_lengths)
    while batch := choose(lane, items, 4096):
        padded = len(batch) * max(item.length for item in batch)
        assert padded - sum(item.length for item in batch) <= 8 + padded // 32


@given(lengths, st.data())
def test_removed_items_do_not_run(given_lengths: list[int], data: st.DataObject) -> None:
    lane, items = lane_of(given_lengths)
    gone = data.draw(st.lists(st.sampled_from(items), unique_by=id)) if items else []
    for item in gone:
        lane.remove(item)
    ran = []
    while batch := choose(lane, items, 512):
        ran += batch
    assert {id(item) for item in ran} == {id(item) for item in items} - {id(item) for item in gone}


def test_texts_of_like_length_share_a_batch() -> None:
    lane, items = lane_of([10, 100, 11, 101, 12, 99, 10])
    assert sorted(item.length for item in choose(lane, items, 4096)) == [10, 10, 11, 12]
    assert sorted(item.length for item in choose(lane, items, 4096)) == [99, 100, 101]


def test_among_equals_the_older_goes_first() -> None:
    lane, items = lane_of([8] * 10)
    assert [item.number for item in choose(lane, items, 32)] == [0, 1, 2, 3]
    assert [item.number for item in choose(lane, items, 32)] == [4, 5, 6, 7]


def test_a_text_longer_than_the_budget_runs_alone() -> None:
    lane, items = lane_of([500, 3, 500])
    assert [item.length for item in choose(lane, items, 64)] == [500]
    assert [item.length for item in choose(lane, items, 64)] == [3]


def test_what_a_batch_may_not_take_stays_and_others_beyond_it_join() -> None:
    lane, items = lane_of([10, 10, 10, 10, 11])
    asked = []

    def take(item: Item) -> bool:
        asked.append(item.number)
        return item.number in (0, 3, 4)

    assert [item.number for item in lane.choose(items[0], 4096, take)] == [0, 3, 4]
    assert asked == [0, 1, 2, 3, 4]
    assert [item.number for item in choose(lane, items, 4096)] == [1, 2]


def test_the_search_for_others_items_is_bounded() -> None:
    lane, items = lane_of([10] * 1000)
    asked = []
    lane.choose(items[0], 100_000, lambda item: bool(asked.append(item)))
    assert len(asked) == 1 + 256
