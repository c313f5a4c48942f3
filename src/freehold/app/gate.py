"""The server's gate onto a project's database: who asks, what they may use, what was answered."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace

from sqlalchemy import Connection

from freehold.clock import Clock, SteadyClock
from freehold.errors import ForbiddenError
from freehold.meter import events
from freehold.meter.dealer import Dealer, Held
from freehold.serve.keys import KeyRing
from freehold.serve.ports import Caller, Hold, Outcome, Recorded, Tally, Work
from freehold.store.database import Database

__all__ = ["ProjectGate"]


class ProjectGate:
    """Of one server, whose name no other has. `close` gives back what it holds."""

    def __init__(self, database: Database, clock: Clock, server: str) -> None:
        self._database = database
        self._clock = clock
        # What is recorded never goes back in time. Limits follow the clock itself: a bucket that
        # stood still until a clock has caught up would let nobody in.
        self._records = SteadyClock(clock)
        self._server = server
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

    def hold(self, caller: Caller, inputs: int, tokens: int) -> Hold | Future[Hold]:
        return self._dealer.hold(caller.allowances, inputs, tokens)

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return events.replay(self._database, caller.customer_id, key, digest)

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        outcomes = events.settle(
            self._database, works, tallies, server=self._server, clock=self._records
        )
        for work, outcome in zip(works, outcomes, strict=True):
            if isinstance(work.hold, Held):
                self._dealer.close_hold(work.hold, used=outcome.recorded is Recorded.METERED)
        return outcomes

    def ping(self) -> None:
        self._database.ping()

    def close(self) -> None:
        """Give back what is held and not used. Raises StoreError; it lapses then."""
        self._dealer.close()
