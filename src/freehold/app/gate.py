"""The server's gate onto a project's database: who asks, what they may use, what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from sqlalchemy import Connection

from freehold.clock import Clock, SteadyClock
from freehold.errors import ForbiddenError
from freehold.meter import events
from freehold.meter.allowances import BUCKETS
from freehold.meter.dealer import Dealer, Held
from freehold.serve.keys import KeyRing, find_key
from freehold.serve.ports import Caller, Hold, Outcome, Recorded, Tally, Work
from freehold.store.database import Database

__all__ = ["ProjectGate"]


class ProjectGate:
    """Of one server, whose name no other has. `close` gives back what it holds."""

    def __init__(
        self, database: Database, clock: Clock, server: str, *, records: Clock | None = None
    ) -> None:
        """`records` says when an answer was recorded: if it is not given, a clock that never goes
        back. Limits follow `clock` itself: a bucket that stood still until a clock that was set
        back has caught up would let nobody in."""
        self._database = database
        self._clock = clock
        self._records = records or SteadyClock(clock)
        self.server = server
        self._keys = KeyRing(database, clock=clock, complete=self._complete)
        self._dealer = Dealer(database, server, clock)

    def remembered(self, token: str) -> Caller | None:
        return self._keys.remembered(token)

    def authenticate(self, token: str) -> Caller:
        return self._keys.authenticate(token)

    def _complete(self, connection: Connection, caller: Caller, line: str) -> Caller:
        """What the caller's plan allows. Who has no running subscription is refused: such usage
        would have no price."""
        from freehold.bill.customers import active
        from freehold.bill.limits import allowances_of

        subscription = active(connection, caller.customer_id, self._clock.now())
        if subscription is None:
            raise ForbiddenError(
                "There is no running subscription for this API key.",
                hint="It has not begun, or has ended: ask the API's owner.",
            )
        ends = [end for end in (caller.until, subscription.ends_at) if end is not None]
        allowances = allowances_of(connection, caller.customer_id, line, subscription.terms)
        return replace(caller, until=min(ends, default=None), allowances=allowances)

    def admitted(self, customer_id: str, key_id: str) -> Caller:
        """The caller of what was asked earlier, by a key that may have ended since, to be done when
        there is time: without what bounds it in a minute. Raises ForbiddenError."""
        with self._database.read() as connection:
            line = find_key(connection, key_id).line
            caller = self._complete(connection, Caller(customer_id, key_id), line)
        allowances = tuple(one for one in caller.allowances if one.kind not in BUCKETS)
        return replace(caller, allowances=allowances)

    @property
    def records(self) -> Clock:
        """The clock of what is recorded."""
        return self._records

    def hold(self, caller: Caller, inputs: int, tokens: int) -> Hold | Future[Hold]:
        return self._dealer.hold(caller.allowances, inputs, tokens)

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return events.replay(self._database, caller.customer_id, key, digest)

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        outcomes = events.settle(
            self._database, works, tallies, server=self.server, clock=self._records
        )
        for work, outcome in zip(works, outcomes, strict=True):
            self.settled([work], outcome.recorded is Recorded.METERED)
        return outcomes

    def settled(self, works: Sequence[Work], used: bool) -> None:
        """The holds of works have become use, or not."""
        for work in works:
            if isinstance(work.hold, Held):
                self._dealer.close_hold(work.hold, used=used)

    def ping(self) -> None:
        self._database.ping()

    def close(self) -> None:
        """Give back what is held and not used. Raises StoreError; it lapses then."""
        self._dealer.close()
