"""What waits for an engine, and what of it makes a batch: one item and others about as long."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any

__all__ = ["Item", "Lane"]

# A batch may be padded by a few tokens and a small share of itself. Measured with MiniLM-L6 in
# int8, a batch costs 5 tokens (0.4 ms) beside its own, whether it has 16 tokens or 512: so padding
# is dearer than one more batch. With 32 texts of 14 +- 6 tokens waiting, these bounds cost 1.13
# times what the texts alone would, batches of whatever waits 1.9 times; where a batch costs 17
# tokens beside its own, 1.24 times.
_FREE_PADDING = 8
_PADDED_SHARE = 32
# Items of customers who have had their share that are passed over, on either side, while a batch
# looks for others' items.
_PASSED_OVER = 256


class Item:
    """One text of a request, waiting. `number` is its place in the order of arrival, `turn` the
    service its customer would have had when it were its turn: among items of one length, those of
    smaller turns go first."""

    __slots__ = ("customer", "encoded", "job", "length", "number", "place", "taken", "turn")

    def __init__(self, job: Any, place: int, encoded: Any, number: int, customer: str) -> None:
        self.job = job
        self.place = place
        self.encoded = encoded
        self.length: int = encoded.length
        self.number = number
        self.customer = customer
        self.turn = 0
        self.taken = False


class Lane:
    """The waiting items of one engine, sorted. Not safe for several threads: the batcher holds its
    lock."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self._sorted: list[tuple[int, int, int, Item]] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, item: Item) -> None:
        insort(self._sorted, (item.length, item.turn, item.number, item))

    def remove(self, item: Item) -> None:
        """Take out an item that shall not run after all."""
        item.taken = True
        del self._sorted[bisect_left(self._sorted, (item.length, item.turn, item.number))]

    def choose(
        self, leader: Item, budget: int, take: Callable[[Item], bool] | None = None
    ) -> list[Item]:
        """Take the next batch out: at most `budget` tokens, padding counted, or the leader alone.

        It grows from the leader to its neighbours in length, the one that adds less padding first;
        those that `take` refuses stay. `take` is asked of each item once, the leader first, in the
        order in which they join.
        """
        waiting = self._sorted
        start = bisect_left(waiting, (leader.length, leader.turn, leader.number))
        if take is not None:
            take(leader)
        chosen = [start]
        longest = tokens = leader.length
        low, high = start - 1, start + 1
        passed = 0
        while True:
            count = len(chosen) + 1
            shorter = waiting[low][0] if low >= 0 else 0
            longer = waiting[high][0] if high < len(waiting) else 0
            down = low >= 0 and _fits(count, longest, tokens + shorter, budget)
            up = high < len(waiting) and _fits(count, longer, tokens + longer, budget)
            if up and (not down or (longer - longest) * (count - 1) <= longest - shorter):
                place, high = high, high + 1
            elif down:
                place, low = low, low - 1
            else:
                break
            item = waiting[place][3]
            if take is None or take(item):
                chosen.append(place)
                longest = max(longest, item.length)
                tokens += item.length
            else:
                passed += 1
                if passed == _PASSED_OVER:
                    break
        chosen.sort()
        items = [waiting[place][3] for place in chosen]
        first, last = chosen[0], chosen[-1]
        if last - first + 1 == len(chosen):
            del waiting[first : last + 1]
        else:
            for place in reversed(chosen):
                del waiting[place]
        for item in items:
            item.taken = True
        return items


def _fits(count: int, longest: int, tokens: int, budget: int) -> bool:
    """Whether `count` items padded to `longest` are within the budget and not mostly padding."""
    padded = count * longest
    return padded <= budget and padded - tokens <= _FREE_PADDING + padded // _PADDED_SHARE
