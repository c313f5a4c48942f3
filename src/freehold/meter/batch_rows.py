"""The queries of batches: which is whose, whose turn it is, what is to be tidied away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.clock import format_time, parse_time
from freehold.errors import NotFoundError
from freehold.serve.batches.ports import OVER, Batch, Chunk, Draft, Loaded
from freehold.store import schema

__all__ = [
    "Untidy",
    "batch_of",
    "claimable",
    "drop_requests",
    "erase",
    "find",
    "new_row",
    "newest",
    "unanswered",
    "unheld",
    "untidy",
]

_BATCHES = schema.batches
_CHUNKS = schema.batch_chunks
_OPEN = ("queued", "running", "paused")
_HIDDEN = ("receiving", "removed")
_FAR = timedelta(minutes=5)  # more than a lease or a pause
# After so long without a server that has its version loaded, a batch is said to wait for one.
UNSEEN = timedelta(seconds=60)


def new_row(draft: Draft, batch_id: str, now: datetime) -> dict[str, Any]:
    """A row of a batch that is being received."""
    at = format_time(now)
    return {
        "id": batch_id,
        "customer_id": draft.caller.customer_id,
        "key_id": draft.caller.key_id,
        "idempotency_key": draft.key,
        "payload_digest": draft.digest,
        "model": draft.model,
        "version": draft.version,
        "status": "receiving",
        "reason": None,
        "total": draft.total,
        "done": 0,
        "failed": 0,
        "busy_us": 0,
        "revision": 1,
        "created_at": at,
        "started_at": None,
        "ended_at": None,
        "expires_at": None,
        "moved_at": at,
        "seen_at": at,
        "turn_at": at,
    }


def batch_of(row: Row[Any]) -> Batch:
    return Batch(
        id=row.id,
        customer_id=row.customer_id,
        key_id=row.key_id,
        model=row.model,
        version=row.version,
        status=row.status,
        reason=row.reason,
        total=row.total,
        done=row.done,
        failed=row.failed,
        busy_us=row.busy_us,
        revision=row.revision,
        created_at=parse_time(row.created_at),
        started_at=_time(row.started_at),
        ended_at=_time(row.ended_at),
        expires_at=_time(row.expires_at),
    )


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text is not None else None


def find(
    connection: Connection,
    customer_id: str,
    batch_id: str,
    *,
    hidden: bool = False,
    lock: bool = False,
) -> Batch:
    """A customer's batch; `hidden` ones are those that are not there for the customer. Raises
    NotFoundError."""
    query = sa.select(_BATCHES).where(
        _BATCHES.c.id == batch_id, _BATCHES.c.customer_id == customer_id
    )
    if not hidden:
        query = query.where(_BATCHES.c.status.not_in(_HIDDEN))
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFoundError(
            "There is no such batch.", hint="GET /batches lists yours; results are kept for a time."
        )
    return batch_of(row)


def newest(connection: Connection, customer_id: str, limit: int, after: str | None) -> list[Batch]:
    """A customer's batches, newest first, those that are older than `after`."""
    table = _BATCHES.c
    query = sa.select(_BATCHES).where(
        table.customer_id == customer_id, table.status.not_in(_HIDDEN)
    )
    if after is not None:
        created = format_time(find(connection, customer_id, after).created_at)
        query = query.where(
            sa.or_(
                table.created_at < created,
                sa.and_(table.created_at == created, table.id < after),
            )
        )
    query = query.order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    return [batch_of(row) for row in connection.execute(query)]


def unheld(now: datetime) -> Any:
    """That no server holds it any more."""
    table = _BATCHES.c
    return sa.or_(table.lease_until.is_(None), _past(table.lease_until, now))


def _past(column: sa.Column[str], now: datetime) -> Any:
    """That a time has come; or lies so far ahead that the clock must have been set back since."""
    return sa.or_(column <= format_time(now), column > format_time(now + _FAR))


def claimable(loaded: Loaded, now: datetime) -> sa.Select[Any]:
    """The batch whose turn it is among those of loaded versions."""
    table = _BATCHES.c
    return (
        sa.select(table.id, table.customer_id)
        .where(table.status.in_(_OPEN), _past(table.turn_at, now), unheld(now), _of(loaded))
        .order_by(table.turn_at, table.created_at, table.id)
        .limit(1)
    )


def _of(loaded: Loaded) -> Any:
    table = _BATCHES.c
    return sa.or_(
        sa.false(),
        *(sa.and_(table.model == model, table.version == version) for model, version in loaded),
    )


def unanswered(connection: Connection, batch_id: str, after: int, limit: int) -> Sequence[Chunk]:
    """The next chunks behind the line `after` that have no answers."""
    query = (
        sa.select(_CHUNKS)
        .where(
            _CHUNKS.c.batch == batch_id,
            _CHUNKS.c.first > after,
            _CHUNKS.c.answers.is_(None),
            _CHUNKS.c.requests.is_not(None),
        )
        .order_by(_CHUNKS.c.first)
        .limit(limit)
    )
    return [
        Chunk(row.first, row.line, row.lines, bytes(row.requests))
        for row in connection.execute(query)
    ]


def drop_requests(connection: Connection, batch_id: str) -> None:
    """Forget what was sent and is not going to be answered."""
    connection.execute(
        _CHUNKS.delete().where(_CHUNKS.c.batch == batch_id, _CHUNKS.c.answers.is_(None))
    )


def erase(connection: Connection, batch_id: str, *, row: bool = False) -> None:
    """Remove texts and results; its row, which has none, stays for the sake of its key unless that
    is to go, too."""
    connection.execute(_CHUNKS.delete().where(_CHUNKS.c.batch == batch_id))
    where = _BATCHES.c.id == batch_id
    if row:
        connection.execute(_BATCHES.delete().where(where))
    else:
        connection.execute(_BATCHES.update().where(where).values(status="removed"))


@dataclass(frozen=True, slots=True)
class Untidy:
    """What time has made of batches, by id; and sentences that say so."""

    unreceived: list[str]
    expired: list[str]
    stuck: list[tuple[str, str]]
    seen: list[str]
    stranded: list[tuple[str, str]]


def untidy(connection: Connection, now: datetime, days: timedelta, loaded: Loaded) -> Untidy:
    """Batches whose sender died, whose results have expired, that have not moved for `days`; those
    that this server could answer and whose mark of that is old; those that no server could."""
    table = _BATCHES.c
    free = unheld(now)

    def among(*where: Any) -> list[Row[Any]]:
        return list(connection.execute(sa.select(_BATCHES).where(*where)))

    is_open, of_loaded = table.status.in_(_OPEN), _of(loaded)
    stuck = among(is_open, free, table.moved_at < format_time(now - days))
    unseen = format_time(now - UNSEEN)
    stranded = among(is_open, table.reason.is_(None), free, table.seen_at < unseen, ~of_loaded)
    expired = among(table.status.in_(OVER), table.expires_at < format_time(now))
    return Untidy(
        unreceived=[row.id for row in among(table.status == "receiving", free)],
        expired=[row.id for row in expired],
        stuck=[
            (row.id, f"It did not go on for {days.days} days. {row.reason or ''}".strip())
            for row in stuck
        ],
        seen=[
            row.id
            for row in among(is_open, of_loaded, table.seen_at < format_time(now - UNSEEN / 3))
        ],
        stranded=[
            (row.id, f"No server has {row.model}@{row.version} loaded; it goes on when one does.")
            for row in stranded
        ],
    )
