"""Deals what a server may use of its callers' allowances, from memory where it can.

Far from a limit the server holds a little ahead of its requests; near it every request is held by
itself. One thread takes from the database: all who wait get theirs in one transaction, while the
next gather. What is not used for a second is given back, since another server may need it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from freehold.clock import Clock, SystemClock
from freehold.errors import FreeholdError, StoreError, UnavailableError
from freehold.meter.allowances import BUCKETS, take_of
from freehold.meter.holds import LIFE, Drawn, draw, free_lapsed
from freehold.meter.standing import Standing, headers, refusal
from freehold.serve.ports import Allowance, Hold, Take
from freehold.store.database import Database

__all__ = ["Dealer", "Held"]

_log = logging.getLogger("freehold.meter")

TICK_SECONDS = 1.0  # unused for so long, units go back
REVIEW_SECONDS = 2.0  # so often a purse in use is reported, kept alive, and cut to its pace
AHEAD_SECONDS = 0.5  # of its pace, a server holds ahead
SHARE = 100  # ahead of requests at most one of so many units that are free
REFUSED_SECONDS = 1.0  # so long a refusal is remembered, where no clock says how long it holds


class Held:
    """What one request was dealt."""

    __slots__ = ("_dealer", "open", "takes")

    def __init__(self, dealer: Dealer, takes: tuple[Take, ...]) -> None:
        self._dealer = dealer
        self.takes = takes
        self.open = True

    def release(self) -> None:
        """Give it back, unless it was settled or given back before."""
        self._dealer.close_hold(self, used=False)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """RateLimit and RateLimit-Policy, as far as this server knows."""
        return self._dealer.headers(self.takes)


@dataclass(slots=True)
class _Refused:
    """So many units were refused; until then it is not asked again."""

    units: int
    until: float
    standing: Standing


@dataclass(slots=True)
class _Purse:
    """What the server holds of one row."""

    take: Take
    free: int = 0  # held and dealt to nobody
    active: int = 0  # dealt, and neither settled nor given back (not of buckets)
    dealt: int = 0  # of a bucket: dealt since it was last reported
    paid_out: int = 0  # dealt since the last look at the database
    pace: float = 0.0  # units a second
    looked: float = 0.0  # when the database was last asked
    used: float = 0.0  # when a request last took from it
    standing: Standing | None = None
    refused: _Refused | None = None

    @property
    def is_bucket(self) -> bool:
        return self.take.allowance.kind in BUCKETS

    @property
    def empty(self) -> bool:
        return not (self.free or self.active or self.dealt)


@dataclass(slots=True)
class _Asked:
    """A request that waits for the database."""

    takes: tuple[Take, ...]
    future: Future[Hold]
    short: Standing | None = None  # what it was refused for


class Dealer:
    """Of one server. `hold` and `close_hold` may be called from any thread and do not wait for the
    database; `round` and `close` do. Its thread begins with the first request that has to wait; in
    tests `round` stands in for it."""

    def __init__(
        self, database: Database, server: str, clock: Clock | None = None, *, thread: bool = True
    ) -> None:
        self._database = database
        self._server = server
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._purses: dict[str, _Purse] = {}
        self._waiting: list[_Asked] = []
        self._closing = False
        self._with_thread = thread
        self._thread: threading.Thread | None = None
        self._swept = self._clock.monotonic()

    def hold(
        self, allowances: Sequence[Allowance], inputs: int, tokens: int
    ) -> Hold | Future[Hold]:
        """What a request needs of each allowance, all or nothing.

        Raises, or the future does, LimitError, PaymentError, TooLargeError, UnavailableError.
        """
        now = self._clock.now()
        month = f"{now.year:04d}-{now.month:02d}"
        takes = tuple(take_of(one, one.units(inputs, tokens), month) for one in allowances)
        at = self._clock.monotonic()
        with self._lock:
            if self._closing:
                raise UnavailableError("This server is stopping.", hint="Try again.")
            purses = [self._purse(take) for take in takes]
            for purse, take in zip(purses, takes, strict=True):
                if purse.is_bucket and take.units > take.allowance.size:
                    never = Standing(take, take.allowance.size, 0, 0)
                    raise refusal(never, take.units, now, 0.0)
                refused = purse.refused
                if refused and at < refused.until and take.units >= refused.units:
                    raise refusal(refused.standing, take.units, now, refused.until - at)
            if all(p.free >= take.units for p, take in zip(purses, takes, strict=True)):
                for purse, take in zip(purses, takes, strict=True):
                    purse.free -= take.units
                return self._deal(takes, at)
            asked = _Asked(takes, Future())
            self._waiting.append(asked)
            self._start()
            self._wake.notify()
        return asked.future

    def close_hold(self, held: Held, *, used: bool) -> None:
        """A hold was settled, or is given back; only the first call counts."""
        with self._lock:
            if not held.open:
                return
            held.open = False
            for take in held.takes:
                purse = self._purse(take)
                if not purse.is_bucket:
                    purse.active = max(0, purse.active - take.units)
                    if not used:
                        purse.free += take.units

    def headers(self, takes: Iterable[Take]) -> tuple[tuple[bytes, bytes], ...]:
        """RateLimit and RateLimit-Policy of the rows that a request was dealt from."""
        standings = []
        with self._lock:
            for take in takes:
                purse = self._purses.get(take.row)
                if purse is not None and purse.standing is not None:
                    seen = purse.standing
                    standings.append(Standing(take, seen.limit, seen.used, seen.free + purse.free))
        return headers(standings, self._clock.now()) if standings else ()

    def close(self) -> None:
        """Deal no more, give back what is not used. Raises StoreError; what stays held lapses."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            left = [purse.take for purse in self._purses.values() if not purse.empty]
        if left:
            self._draw([], left, give_all=True)

    def round(self) -> None:
        """Take for all who wait, give back what is idle, move the end of holds on."""
        with self._lock:
            asked, self._waiting = self._waiting, []
        self._serve(asked)
        self._tend()

    # Under the lock:

    def _purse(self, take: Take) -> _Purse:
        purse = self._purses.get(take.row)
        if purse is None:
            purse = self._purses[take.row] = _Purse(take, looked=self._clock.monotonic())
        purse.take = take  # whose allowance is the newest that is known
        return purse

    def _deal(self, takes: tuple[Take, ...], at: float) -> Held:
        for take in takes:
            purse = self._purse(take)
            purse.used = at
            purse.paid_out += take.units
            if purse.is_bucket:
                purse.dealt += take.units
            else:
                purse.active += take.units
        return Held(self, takes)

    def _start(self) -> None:
        if self._thread is None and self._with_thread:
            self._thread = threading.Thread(target=self._run, name="freehold-holds", daemon=True)
            self._thread.start()

    # In the thread:

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._waiting and not self._closing:
                    self._wake.wait(TICK_SECONDS if self._purses else None)
                asked, self._waiting = self._waiting, []
                closing = self._closing
            self._serve(asked)
            if closing:
                return
            self._tend()

    def _serve(self, asked: list[_Asked]) -> None:
        if not asked:
            return
        try:
            self._draw(asked, [take for one in asked for take in one.takes])
        except Exception as error:  # noqa: BLE001 - whoever waits must hear of it, and the thread goes on
            _log.error("limits could not be checked: %s", _said(error))
            for one in asked:
                if not one.future.done():
                    one.future.set_exception(_unchecked())

    def _tend(self) -> None:
        """Purses that are idle, or were not looked at for long; and holds of others that lapsed."""
        at = self._clock.monotonic()
        with self._lock:
            for row in [row for row, p in self._purses.items() if p.empty and _idle(p, at)]:
                del self._purses[row]
            due = [
                purse.take
                for purse in self._purses.values()
                if not purse.empty and (_idle(purse, at) or at - purse.looked >= REVIEW_SECONDS)
            ]
        try:
            if due:
                self._draw([], due)
            if at - self._swept >= LIFE.total_seconds():
                self._swept = at
                free_lapsed(self._database, self._clock)
        except StoreError as error:
            _log.error("holds could not be tended: %s", error.message)

    def _draw(
        self, asked: Sequence[_Asked], takes: Sequence[Take], *, give_all: bool = False
    ) -> None:
        """One transaction: report, give back, take for those who asked and some ahead."""
        at = self._clock.monotonic()
        with self._lock:
            purses = {take.row: self._purse(take) for take in takes}
            rows = [_Row(row, purse, at, give_all) for row, purse in purses.items()]
            for purse in purses.values():
                purse.free = purse.dealt = 0
        hand = {row.name: row for row in rows}

        def decide(drawn: Drawn) -> None:
            for row in rows:
                row.begin(drawn)
            for one in asked:
                one.short = _take(drawn, hand, one.takes)
            for row in rows:
                row.end(drawn)

        takes = [purse.take for purse in purses.values()]
        known = {row for row, purse in purses.items() if purse.standing is not None}
        try:
            draw(self._database, self._server, self._clock, takes, decide, known)
        except BaseException:
            with self._lock:
                for row in rows:
                    row.undo()
            raise
        self._hand_out(asked, rows, self._clock.monotonic())

    def _hand_out(self, asked: Sequence[_Asked], rows: Sequence[_Row], at: float) -> None:
        done: list[Callable[[], None]] = []
        with self._lock:
            for row in rows:
                row.commit(at)
            for one in asked:
                if one.short is None:
                    done.append(_answer(one.future, self._deal(one.takes, at)))
                else:
                    done.append(_refuse(one.future, self._remember(one.short, at)))
        for call in done:
            call()

    def _remember(self, short: Standing, at: float) -> FreeholdError:
        units = short.take.units
        wait = short.wait or REFUSED_SECONDS
        self._purse(short.take).refused = _Refused(units, at + wait, short)
        return refusal(short, units, self._clock.now(), wait)


class _Row:
    """One row's part in a draw: what the server has in hand of it while the transaction runs."""

    def __init__(self, name: str, purse: _Purse, at: float, give_all: bool) -> None:
        self.name = name
        self.purse = purse
        self.spare, self.dealt, self.active = purse.free, purse.dealt, purse.active
        elapsed = at - purse.looked
        pace = purse.paid_out / max(elapsed, 0.05)
        self.pace = max(pace, purse.pace / 2)
        self.idle = give_all or _idle(purse, at)
        self.hand = 0
        self.standing: Standing | None = None

    def begin(self, drawn: Drawn) -> None:
        """Report what was dealt; what lapsed meanwhile is in nobody's hand."""
        if self.dealt:
            drawn.use(self.name, self.dealt)
        mine = drawn.left(self.name)
        self.hand = min(self.spare, mine)
        if self.idle:
            # With no request that might still settle, all is given back, whatever memory says.
            drawn.give_back(self.name, self.hand if self.active else mine)
            self.hand = 0

    def end(self, drawn: Drawn) -> None:
        """Take some ahead, if there is plenty; give back what is more than that."""
        balance = drawn.balances[self.name]
        wanted = 0 if self.idle else int(self.pace * AHEAD_SECONDS)
        ahead = min(wanted - self.hand, balance.free(drawn.now) // SHARE)
        if ahead > 0:
            drawn.take(self.name, ahead)
            self.hand += ahead
        elif self.hand > 2 * wanted:
            drawn.give_back(self.name, self.hand - wanted)
            self.hand = wanted
        self.standing = Standing.of(self.purse.take, balance, drawn.now)

    def commit(self, at: float) -> None:
        purse = self.purse
        purse.free += self.hand
        purse.pace, purse.paid_out, purse.looked = self.pace, 0, at
        purse.standing, purse.refused = self.standing, None

    def undo(self) -> None:
        self.purse.free += self.spare
        self.purse.dealt += self.dealt


def _take(drawn: Drawn, hand: dict[str, _Row], takes: Sequence[Take]) -> Standing | None:
    """Take for one request, all or nothing; what it is refused for."""
    for take in takes:
        balance = drawn.balances[take.row]
        if hand[take.row].hand + balance.free(drawn.now) < take.units:
            return Standing.of(take, balance, drawn.now, take.units)
    for take in takes:
        row = hand[take.row]
        own = min(row.hand, take.units)
        row.hand -= own
        drawn.take(take.row, take.units - own)
    return None


def _idle(purse: _Purse, at: float) -> bool:
    return at - purse.used >= TICK_SECONDS


def _answer(future: Future[Hold], held: Held) -> Callable[[], None]:
    def answer() -> None:
        if future.set_running_or_notify_cancel():
            future.set_result(held)
        else:
            held.release()

    return answer


def _refuse(future: Future[Hold], error: FreeholdError) -> Callable[[], None]:
    def refuse() -> None:
        if future.set_running_or_notify_cancel():
            future.set_exception(error)

    return refuse


def _said(error: Exception) -> str:
    return error.message if isinstance(error, FreeholdError) else type(error).__name__


def _unchecked() -> UnavailableError:
    return UnavailableError(
        "The limits of this API key could not be checked, so nothing was done.",
        hint="Try again after the time in Retry-After.",
        retry_after=1.0,
    )
