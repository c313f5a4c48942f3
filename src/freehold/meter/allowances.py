"""What callers may use, as rows: buckets that refill, monthly quotas, wallets; exact, in integers.

Of each row a part is used, a part is held by servers, the rest is free to take. A row is read under
its lock, changed here in memory, and written back in the same transaction.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.clock import format_time, parse_time
from freehold.serve.ports import Allowance, Take
from freehold.store import schema
from freehold.store.database import Database

__all__ = [
    "BUCKETS",
    "QUOTA",
    "WALLET",
    "WINDOW_US",
    "Balance",
    "lock",
    "lock_named",
    "microseconds",
    "month_end",
    "period_of",
    "save",
    "take_of",
    "wallet_id",
]

QUOTA = "quota"
WALLET = "wallet"
BUCKETS = ("requests", "tokens")
WINDOW_US = 60_000_000  # the time in which an empty bucket becomes full

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wallet_id(customer_id: str, unit: str) -> str:
    """The row of a customer's prepaid units."""
    return f"{customer_id}:{WALLET}:{unit}"


def take_of(allowance: Allowance, units: int, month: str) -> Take:
    """Units of an allowance as they stand in a month (YYYY-MM)."""
    return Take(allowance, month if allowance.kind == QUOTA else "", units)


def microseconds(at: datetime) -> int:
    """Since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def period_of(at: datetime) -> str:
    """The month (YYYY-MM, UTC) that an instant belongs to."""
    return format_time(at)[:7]


def month_end(month: str) -> datetime:
    """The first instant after a month (YYYY-MM), UTC."""
    year, number = int(month[:4]), int(month[5:7])
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Balance:
    """One row, locked until the transaction ends. Nothing here goes below zero.

    A bucket is kept as the instant at which it will be full (the generic cell rate algorithm, ITU-T
    I.371): n units taken move it by n minutes / size. What servers hold of it counts as missing for
    as long as they hold it, so that no refill replaces what can still be used; over any span of s
    seconds therefore at most size + size x s / 60 units are used, however many servers deal.
    """

    row: str
    allowance: Allowance
    period: str
    granted: int
    used: int
    held: int
    full_at: int

    @property
    def limit(self) -> int:
        """All there is, taken or not."""
        return self.granted if self.allowance.kind == WALLET else self.allowance.size

    @property
    def is_bucket(self) -> bool:
        return self.allowance.kind in BUCKETS

    def free(self, now: int) -> int:
        """Units that may be taken now (microseconds since 1970)."""
        if not self.is_bucket:
            return max(0, self.limit - self.used - self.held)
        room = now + WINDOW_US - self._base(now)
        return max(0, room * self.allowance.size // WINDOW_US)

    def take(self, units: int, now: int) -> None:
        """Hold units; there must be as many free."""
        if not 0 <= units <= self.free(now):
            raise ValueError(f"{units} units of {self.row} are not free")
        if self.is_bucket and units:
            self.full_at = self._base(now) + self._span(units)
        self.held += units

    def give_back(self, units: int) -> None:
        """Units that were held and are not used."""
        self._unhold(units)
        if self.is_bucket:
            # Rounded down, so that taking and giving back never makes a unit.
            self.full_at -= units * WINDOW_US // self.allowance.size

    def use(self, units: int) -> None:
        """Units that were held are used."""
        self._unhold(units)
        if not self.is_bucket:
            self.used += units

    def lose(self, units: int) -> None:
        """Units of a server that is gone: free again, but in a bucket, which time refills: they
        may have been used."""
        self._unhold(units)

    def wait(self, units: int, now: int) -> float:
        """Seconds until so many are free in a bucket, if nobody takes or gives any."""
        return max(0, self._base(now) + self._span(units) - now - WINDOW_US) / 1e6

    def _base(self, now: int) -> int:
        """When the bucket will be full, at the soonest that what is held allows."""
        if self.full_at > now + 2 * WINDOW_US:
            # No host's clock is that far ahead: this one was set back. The bucket is empty now.
            self.full_at = now + WINDOW_US
        return max(self.full_at, now + self._span(self.held))

    def _span(self, units: int) -> int:
        """Microseconds in which units flow in, rounded up."""
        return -(-units * WINDOW_US // self.allowance.size)

    def _unhold(self, units: int) -> None:
        if not 0 <= units <= self.held:
            raise ValueError(f"{units} units of {self.row} are not held")
        self.held -= units


def lock(
    database: Database,
    connection: Connection,
    takes: Iterable[Take],
    known: Container[str] = (),
) -> dict[str, Balance]:
    """The rows that these take from, locked in one order everywhere; `known` ones are there, others
    are made if they are not. A quota begins with what its month has used already."""
    wanted = {take.row: take for take in takes}
    # Made before any is locked: who holds some and waits for one that another makes, and whom that
    # other waits for, would wait for ever.
    if fresh := [take for row, take in sorted(wanted.items()) if row not in known]:
        _make(database, connection, fresh)
    found = lock_named(connection, wanted)
    for row, balance in found.items():
        balance.allowance = wanted[row].allowance
    return found


def lock_named(connection: Connection, rows: Iterable[str]) -> dict[str, Balance]:
    """The rows with these names, locked. What they are sized by, they do not say themselves."""
    table = schema.allowances
    query = (
        sa.select(table).where(table.c.id.in_(list(rows))).order_by(table.c.id).with_for_update()
    )
    return {
        row.id: Balance(
            row.id,
            Allowance(row.id, row.customer_id, row.kind, row.unit, 0),
            row.period,
            row.granted,
            row.used,
            row.held,
            row.full_at,
        )
        for row in connection.execute(query)
    }


def save(connection: Connection, balances: Iterable[Balance]) -> None:
    """Write locked rows back."""
    table = schema.allowances
    rows = [
        {"row": b.row, "set_used": b.used, "set_held": b.held, "set_full_at": b.full_at}
        for b in balances
    ]
    if rows:
        connection.execute(
            table.update()
            .where(table.c.id == sa.bindparam("row"))
            .values(
                used=sa.bindparam("set_used"),
                held=sa.bindparam("set_held"),
                full_at=sa.bindparam("set_full_at"),
            ),
            rows,
        )


def _make(database: Database, connection: Connection, takes: Sequence[Take]) -> None:
    """The rows of takes, in their order, where they are missing."""
    table = schema.allowances
    there = set(
        connection.scalars(sa.select(table.c.id).where(table.c.id.in_([t.row for t in takes])))
    )
    for take in takes:
        if take.row not in there:
            connection.execute(database.insert_new(table), _new(connection, take))


def _new(connection: Connection, take: Take) -> dict[str, Any]:
    allowance = take.allowance
    return {
        "id": take.row,
        "customer_id": allowance.customer_id,
        "kind": allowance.kind,
        "unit": allowance.unit,
        "period": take.period,
        "granted": 0,
        "used": _used_before(connection, take) if allowance.kind == QUOTA else 0,
        "held": 0,
        "full_at": 0,
    }


def _used_before(connection: Connection, take: Take) -> int:
    """What was metered of a month before its quota was first asked for."""
    events, keys = schema.usage_events.c, schema.api_keys.c
    unit = events.tokens if take.allowance.unit == "tokens" else events.inputs
    query = sa.select(sa.func.coalesce(sa.func.sum(unit), 0)).where(
        events.customer_id == take.allowance.customer_id,
        events.at >= format_time(parse_time(f"{take.period}-01T00:00:00Z")),
        events.at < format_time(month_end(take.period)),
    )
    if take.allowance.line:
        line = sa.select(keys.id).where(sa.func.coalesce(keys.line, keys.id) == take.allowance.line)
        query = query.where(events.key_id.in_(line))
    return int(connection.scalar(query) or 0)
