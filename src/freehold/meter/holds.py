"""Holds: what a server has taken of allowances before the work, for as long as it lives.

A server's holds are one row an allowance, not one a request: which request has which part of it the
server knows by itself. A server moves the end of its holds on while it lives; those of one that is
gone lapse, and whoever needs them gives them back. Whether a hold is still there is asked again in
the transaction that settles it, so that no clock decides what is paid.

Rows are locked in one order everywhere: allowances by name, then holds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.clock import Clock, format_time
from freehold.meter.allowances import (
    BUCKETS,
    Balance,
    lock,
    lock_named,
    microseconds,
    period_of,
    save,
    take_of,
)
from freehold.serve.ports import Take, Work
from freehold.store import schema
from freehold.store.database import Database

__all__ = [
    "LIFE",
    "Drawn",
    "LapsedError",
    "draw",
    "free_lapsed",
    "give_back",
    "rows_to_settle",
    "settle_holds",
    "use_holds",
]

LIFE = timedelta(seconds=30)

_HOLDS, _ALLOWANCES = schema.holds, schema.allowances
# Made once, as making and naming a statement costs as much as running it.
_USE = (
    _ALLOWANCES.update()
    .where(_ALLOWANCES.c.id == sa.bindparam("row"))
    .values(
        used=_ALLOWANCES.c.used + sa.bindparam("n"), held=_ALLOWANCES.c.held - sa.bindparam("n")
    )
)
_SPEND = (
    _HOLDS.update()
    .where(
        _HOLDS.c.server == sa.bindparam("by"),
        _HOLDS.c.allowance == sa.bindparam("row"),
        _HOLDS.c.units >= sa.bindparam("n"),
    )
    .values(units=_HOLDS.c.units - sa.bindparam("n"))
)


class LapsedError(Exception):
    """A hold is not there any more, or is of another month's quota than its event."""


@dataclass(slots=True)
class Drawn:
    """One transaction's view of a server's holds: `mine` by row as of its beginning, `now` in
    microseconds since 1970."""

    balances: dict[str, Balance]
    mine: dict[str, int]
    now: int
    change: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def take(self, row: str, units: int) -> None:
        """Hold more; there must be as many free."""
        self.balances[row].take(units, self.now)
        self.change[row] += units

    def use(self, row: str, units: int) -> None:
        """Report units of a bucket that were dealt; what has lapsed meanwhile is no more held."""
        units = min(units, self.left(row))
        self.balances[row].use(units)
        self.change[row] -= units

    def give_back(self, row: str, units: int) -> None:
        """Give back what is not going to be used, as far as it has not lapsed."""
        units = min(units, self.left(row))
        self.balances[row].give_back(units)
        self.change[row] -= units

    def left(self, row: str) -> int:
        return self.mine.get(row, 0) + self.change[row]


def draw(
    database: Database,
    server: str,
    clock: Clock,
    takes: Iterable[Take],
    decide: Callable[[Drawn], None],
    known: Container[str] = (),
) -> None:
    """One transaction over the rows of `takes`, in which `decide` takes and gives back. Holds of
    theirs that have lapsed are given back first, the server's own live on. `known` rows are there
    already. When it returns, all of it is durable.

    Raises StoreError; nothing is taken then.
    """
    with database.write() as connection:
        balances = lock(database, connection, takes, known)
        at = clock.now()
        now = format_time(at)
        mine = _held(connection, balances, server, now)
        drawn = Drawn(balances, mine, microseconds(at))
        decide(drawn)
        save(connection, balances.values())
        _write(connection, server, drawn, format_time(at + LIFE))


def give_back(database: Database, server: str, clock: Clock, takes: Sequence[Take]) -> None:
    """Give back what the server holds of these rows and does not use. Raises StoreError."""

    def decide(drawn: Drawn) -> None:
        for take in takes:
            drawn.give_back(take.row, take.units)

    if takes:
        draw(database, server, clock, takes, decide)


def free_lapsed(database: Database, clock: Clock) -> None:
    """Give back the holds of all servers that are gone, each once. Raises StoreError."""
    now = format_time(clock.now())
    with database.read() as connection:
        query = sa.select(schema.allowances.c.id).where(
            schema.allowances.c.id.in_(
                sa.select(_HOLDS.c.allowance).where(_HOLDS.c.expires_at < now)
            )
        )
        rows = list(connection.scalars(query))
    if not rows:
        return
    with database.write() as connection:
        balances = lock_named(connection, rows)
        _held(connection, balances, "", now)
        save(connection, balances.values())


def use_holds(connection: Connection, works: Iterable[Work], server: str, at: datetime) -> None:
    """Turn the holds of works, whose events are recorded in this transaction, into use: in two
    statements, as long as all of them are there. Raises LapsedError if one is not, and nothing of
    the transaction may stay: `settle_holds` can tell what to do then."""
    month = period_of(at)
    units: dict[str, int] = defaultdict(int)
    for work in works:
        for take in _balance_takes(work):
            if take.period and take.period != month:
                raise LapsedError
            units[take.row] += take.units
    rows = [{"row": row, "n": units[row], "by": server} for row in sorted(units)]
    if rows:
        connection.execute(_USE, rows)
        if connection.execute(_SPEND, rows).rowcount != len(rows):
            raise LapsedError


def settle_holds(
    connection: Connection,
    balances: dict[str, Balance],
    works: Sequence[Work],
    server: str,
    at: datetime,
) -> set[str]:
    """As `use_holds`, work by work; `balances` are the rows of `rows_to_settle`, locked.

    A hold that has lapsed, or that was taken of another month's quota than the event falls into, is
    taken anew if there is enough. The request ids of those that cannot be paid come back: their
    events must not stay.
    """
    if not balances:
        return set()
    held = _held(connection, balances, server, format_time(at))
    change: dict[str, int] = defaultdict(int)
    refused: set[str] = set()
    month = period_of(at)
    for work in works:
        takes = _balance_takes(work)
        due = [(take, take_of(take.allowance, take.units, month)) for take in takes]
        left = {row: held.get(row, 0) + change[row] for row in (take.row for take in takes)}
        if not all(_payable(balances, left, take, owed) for take, owed in due):
            refused.add(work.request_id)
            continue
        for take, owed in due:
            back = min(take.units, left[take.row])
            change[take.row] -= back
            if owed.row == take.row and back == take.units:
                balances[take.row].use(take.units)
            else:
                balances[take.row].give_back(back)
                balances[owed.row].take(take.units, 0)
                balances[owed.row].use(take.units)
    save(connection, balances.values())
    _write(connection, server, Drawn(balances, held, 0, change), format_time(at + LIFE))
    return refused


def rows_to_settle(
    database: Database, connection: Connection, works: Iterable[Work], at: datetime
) -> dict[str, Balance]:
    """The rows that the holds of works are of, locked; to be called before events are recorded, as
    a quota that begins here counts those of its month."""
    takes = [take for work in works for take in _balance_takes(work)]
    owed = [take_of(take.allowance, take.units, period_of(at)) for take in takes]
    if not takes:
        return {}
    return lock(database, connection, [*takes, *owed], known={take.row for take in takes})


def _balance_takes(work: Work) -> list[Take]:
    """Of quotas and wallets; buckets are not settled, as a request counts once it was let in."""
    if work.hold is None:
        return []
    return [take for take in work.hold.takes if take.allowance.kind not in BUCKETS]


def _payable(
    balances: Mapping[str, Balance], left: Mapping[str, int], take: Take, owed: Take
) -> bool:
    if owed.row == take.row and left[take.row] >= take.units:
        return True
    # What is left of its own hold is free for it too.
    own = min(take.units, left[take.row]) if owed.row == take.row else 0
    return balances[owed.row].free(0) + own >= take.units


def _held(
    connection: Connection, balances: Mapping[str, Balance], server: str, now: str
) -> dict[str, int]:
    """The server's holds of locked rows, by row. What others have let lapse is given back."""
    query = sa.select(_HOLDS).where(_HOLDS.c.allowance.in_(list(balances)))
    mine: dict[str, int] = {}
    lapsed: dict[str, list[str]] = defaultdict(list)
    for hold in connection.execute(query):
        if hold.server == server:
            mine[hold.allowance] = hold.units
        elif hold.expires_at < now:
            balances[hold.allowance].lose(hold.units)
            lapsed[hold.server].append(hold.allowance)
    for gone, rows in lapsed.items():
        connection.execute(
            _HOLDS.delete().where(_HOLDS.c.server == gone, _HOLDS.c.allowance.in_(rows))
        )
    return mine


def _write(connection: Connection, server: str, drawn: Drawn, expires_at: str) -> None:
    """What the server holds now; all of it lives on until `expires_at`."""
    new, kept, gone = [], [], []
    for row in sorted(drawn.mine.keys() | drawn.change.keys()):
        units = drawn.mine.get(row, 0) + drawn.change.get(row, 0)
        if not units:
            gone += [row] if row in drawn.mine else []
        elif row in drawn.mine:
            kept.append({"row": row, "set_units": units, "set_end": expires_at})
        else:
            new.append(
                {"server": server, "allowance": row, "units": units, "expires_at": expires_at}
            )
    mine = _HOLDS.c.server == server
    if new:
        connection.execute(_HOLDS.insert(), new)
    if kept:
        connection.execute(
            _HOLDS.update()
            .where(mine, _HOLDS.c.allowance == sa.bindparam("row"))
            .values(units=sa.bindparam("set_units"), expires_at=sa.bindparam("set_end")),
            kept,
        )
    if gone:
        connection.execute(_HOLDS.delete().where(mine, _HOLDS.c.allowance.in_(gone)))
