"""Whose turn it is: no customer gets more than its share of the engine ahead of the others.

Every waiting item has a turn: the tokens that its customer had had, and that waited before it, when
it came. The next batch is led by the item whose turn is least, and filled with items about as long
of any customer, as long as none has had more than an equal share of a batch beyond that turn. The
turns of a customer that begins to wait begin at that of the last leader: nobody saves up turns
while away. This is start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), for batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from freehold.serve.lanes import Item, Lane

__all__ = ["FairQueue"]


class _Customer:
    """`had`: tokens run for it, on the scale of turns; `waiting`: tokens that wait."""

    __slots__ = ("had", "items", "waiting")

    def __init__(self) -> None:
        self.had = 0
        self.waiting = 0
        self.items: deque[Item] = deque()  # by arrival; the first of them waits


class FairQueue:
    """All waiting items of all engines. Not safe for several threads: the batcher holds its lock.

    Of any other customer's work no more than `s` tokens, twice its share of a batch and two items
    are run before an item is begun, where `s` are its own customer's tokens that waited before it.
    """

    def __init__(self, batch_tokens: int) -> None:
        self._batch_tokens = batch_tokens
        self._lanes: dict[int, Lane] = {}
        # Who waits, or has had more than the last leader's turn.
        self._customers: dict[str, _Customer] = {}
        self._waiting = 0  # of them, those that wait
        self._last = 0  # the last leader's turn

    def __len__(self) -> int:
        """How many items wait."""
        return sum(len(lane) for lane in self._lanes.values())

    def add(self, engine: Any, items: Sequence[Item]) -> None:
        """Items of one customer for one engine."""
        lane = self._lanes.get(id(engine))
        if lane is None:
            lane = self._lanes[id(engine)] = Lane(engine)
        name = items[0].customer
        customer = self._customers.get(name)
        if customer is None:
            customer = self._customers[name] = _Customer()
        if not customer.waiting:
            if self._waiting == 1:
                self._forgive()
            customer.had = max(customer.had, self._last)
            self._waiting += 1
        for item in items:
            item.turn = customer.had + customer.waiting
            customer.waiting += item.length
            customer.items.append(item)
            lane.add(item)

    def _forgive(self) -> None:
        """Who was alone owes nothing for what it had out of turn meanwhile."""
        for customer in self._customers.values():
            if customer.waiting:
                customer.had = min(customer.had, customer.items[0].turn)

    def remove(self, engine: Any, items: Iterable[Item]) -> None:
        """Take out items that shall not run after all; those that are gone already are ignored."""
        for item in items:
            if not item.taken:
                self._lanes[id(engine)].remove(item)
                self._gone(item, had=0)
        self._forget(engine)

    def choose(self) -> tuple[Any, list[Item]] | None:
        """Take the next batch out, with its engine; None where nothing waits."""
        leader = self._leader()
        if leader is None:
            return None
        lane = self._lanes[id(leader.job.engine)]
        alone = self._waiting == 1
        chosen = lane.choose(leader, self._batch_tokens, None if alone else self._sharing())
        for item in chosen:
            self._gone(item, had=item.length)
        self._forget(lane.engine)
        return lane.engine, chosen

    def _leader(self) -> Item | None:
        """The item whose turn it is; of equal turns, the one that came first."""
        least: tuple[int, int] | None = None
        leader = None
        caught_up = []
        for name, customer in self._customers.items():
            if customer.waiting:
                place = (customer.items[0].turn, customer.items[0].number)
                if least is None or place < least:
                    least, leader = place, customer.items[0]
            elif customer.had <= self._last:
                caught_up.append(name)
        for name in caught_up:
            del self._customers[name]
        if least is not None:
            self._last = least[0]
        return leader

    def _sharing(self) -> Callable[[Item], bool]:
        """Whether an item may join the batch, its customer's share of it considered."""
        bound = self._last + max(1, self._batch_tokens // self._waiting)
        joined: dict[str, int] = {}

        def take(item: Item) -> bool:
            name = item.customer
            had = joined.get(name)
            if had is None:
                had = self._customers[name].had
            if had >= bound:
                return False
            joined[name] = had + item.length
            return True

        return take

    def _gone(self, item: Item, had: int) -> None:
        customer = self._customers[item.customer]
        customer.had += had
        customer.waiting -= item.length
        items = customer.items
        while items and items[0].taken:
            items.popleft()
        if not customer.waiting:
            self._waiting -= 1
            if not self._waiting:
                # Nobody is left to be ahead of.
                self._customers.clear()
                self._last = 0

    def _forget(self, engine: Any) -> None:
        """An engine for which nothing waits may be one that is about to be unloaded."""
        lane = self._lanes.get(id(engine))
        if lane is not None and not lane:
            del self._lanes[id(engine)]
