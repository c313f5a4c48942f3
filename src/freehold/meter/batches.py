"""Batches in the database: a chunk's answers, their usage events and the progress in one commit.

A chunk is recorded by the server that holds the batch's lease, and once: its row has no answers
until then. So whoever is killed at any instant, whatever is tried again and whoever takes over, no
line is lost, and none is metered twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.clock import Clock, format_time
from freehold.errors import ConflictError, LimitError, UnavailableError
from freehold.meter import batch_rows as rows
from freehold.meter.events import settle_within
from freehold.serve.batches.ports import (
    Answered,
    Batch,
    Chunk,
    Draft,
    Kept,
    Loaded,
    Opened,
)
from freehold.serve.ports import Caller, Recorded, Work
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["Batches"]

LEASE = timedelta(seconds=15)
_BATCHES = schema.batches
_CHUNKS = schema.batch_chunks
_OPEN = ("queued", "running", "paused")
# So many chunks go in at once: the writer's lock is held for milliseconds.
_CHUNKS_A_COMMIT = 4


class _UndoneError(Exception):
    """Ends a transaction whose changes must not stay."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept


class Batches:
    """The store of one server (`serve.batches.ports.BatchStore`). `admit` gives the caller of a
    customer and one of its keys, or raises ForbiddenError where nobody would pay; `settled` hears
    of works whether their holds have become use."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        server: str,
        folder: Path,
        keep_days: int,
        most_open: int,
        admit: Callable[[str, str], Caller] = Caller,
        settled: Callable[[Sequence[Work], bool], object] = lambda works, used: None,
        lease: timedelta = LEASE,
    ) -> None:
        """`keep_days` after its end a batch's results are removed; `most_open`: of one customer."""
        self._database = database
        self._clock = clock
        self._server = server
        self._days = timedelta(days=keep_days)
        self._most_open = most_open
        self._admit = admit
        self._settled = settled
        self._lease = lease
        self.folder = folder

    @property
    def lease_seconds(self) -> float:
        return self._lease.total_seconds()

    # What customers do.

    def add(self, draft: Draft, chunks: Callable[[], Iterable[Chunk]]) -> Opened:
        opened = self._open(draft)
        if not opened.new:
            return opened
        batch_id = opened.batch.id
        coming = iter(chunks())
        while some := list(islice(coming, _CHUNKS_A_COMMIT)):
            with self._database.write() as connection:
                if not self._hold(connection, batch_id, "receiving"):
                    raise _unreceived()
                connection.execute(_CHUNKS.insert(), [_chunk_row(batch_id, one) for one in some])
        with self._database.write() as connection:
            ready = self._update(
                connection, batch_id, "receiving", status="queued", owner=None, lease_until=None
            )
            if not ready:
                raise _unreceived()
            return Opened(rows.find(connection, draft.caller.customer_id, batch_id), new=True)

    def _open(self, draft: Draft) -> Opened:
        """Take the batch's place, which counts nothing until it has been received whole."""
        customer_id = draft.caller.customer_id
        with self._database.write() as connection:
            self._database.lock(connection, f"batches:{customer_id}")
            if draft.key is not None and (
                found := self._made(connection, customer_id, draft.key, draft.digest)
            ):
                return Opened(found, new=False)
            count = sa.select(sa.func.count()).where(
                _BATCHES.c.customer_id == customer_id, _BATCHES.c.status.in_((*_OPEN, "receiving"))
            )
            if (connection.scalar(count) or 0) >= self._most_open:
                raise LimitError(
                    f"{self._most_open} batches of yours are not over yet.",
                    hint="Wait for one to end, or cancel one.",
                    retry_after=60.0,
                )
            batch_id = f"bat_{secrets.token_hex(12)}"
            now = self._clock.now()
            connection.execute(
                _BATCHES.insert(),
                rows.new_row(draft, batch_id, now) | self._held_until(now),
            )
            return Opened(rows.find(connection, customer_id, batch_id, hidden=True), new=True)

    def known(self, customer_id: str, key: str, digest: str) -> Batch | None:
        with self._database.read() as connection:
            return self._made(connection, customer_id, key, digest)

    def _made(
        self, connection: Connection, customer_id: str, key: str, digest: str
    ) -> Batch | None:
        row = connection.execute(
            sa.select(_BATCHES).where(
                _BATCHES.c.customer_id == customer_id, _BATCHES.c.idempotency_key == key
            )
        ).one_or_none()
        if row is None:
            return None
        if row.status == "receiving":
            # Either it is just being received, or it will be tidied away in some seconds.
            raise UnavailableError(
                "A batch with this Idempotency-Key is being received.",
                hint="Try again.",
                retry_after=self._lease.total_seconds() / 5,
            )
        if row.payload_digest != digest:
            raise ConflictError(
                "This Idempotency-Key was used for a batch with another model or file.",
                hint="Send a new key with a new batch.",
            )
        return rows.batch_of(row)

    def get(self, customer_id: str, batch_id: str) -> Batch:
        with self._database.read() as connection:
            return rows.find(connection, customer_id, batch_id)

    def list(self, customer_id: str, *, limit: int, after: str | None) -> list[Batch]:
        with self._database.read() as connection:
            return rows.newest(connection, customer_id, limit, after)

    def cancel(self, customer_id: str, batch_id: str) -> Batch:
        with self._database.write() as connection:
            batch = rows.find(connection, customer_id, batch_id, lock=True)
            if batch.over:
                raise ConflictError(f"The batch is {batch.status} already.")
            self._end(connection, batch_id, "cancelled", None)
            return rows.find(connection, customer_id, batch_id)

    def remove(self, customer_id: str, batch_id: str) -> None:
        with self._database.write() as connection:
            batch = rows.find(connection, customer_id, batch_id, lock=True)
            if not batch.over:
                raise ConflictError("The batch is not over.", hint="Cancel it first.")
            rows.erase(connection, batch_id)

    def results(self, batch_id: str, *, first: int) -> tuple[int, bytes] | None:
        query = (
            sa.select(_CHUNKS.c.first, _CHUNKS.c.answers)
            .where(_CHUNKS.c.batch == batch_id, _CHUNKS.c.first <= first)
            .where(_CHUNKS.c.first + _CHUNKS.c.lines > first)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None or row.answers is None else (row.first, bytes(row.answers))

    # What the server that works on it does.

    def claim(self, loaded: Loaded) -> Batch | None:
        now = self._clock.now()
        with self._database.read() as connection:  # so that idle servers write nothing
            if connection.execute(rows.claimable(loaded, now)).first() is None:
                return None
        with self._database.write() as connection:
            self._database.lock(connection, "batches")
            row = connection.execute(rows.claimable(loaded, now).with_for_update()).first()
            if row is None:
                return None
            self._update(
                connection,
                row.id,
                *_OPEN,
                status="running",
                reason=None,
                started_at=sa.func.coalesce(_BATCHES.c.started_at, format_time(now)),
                revision=_BATCHES.c.revision + 1,
                **self._held_until(now),
            )
            return rows.find(connection, row.customer_id, row.id)

    def caller(self, batch: Batch) -> Caller:
        return self._admit(batch.customer_id, batch.key_id)

    def renew(self, batch: Batch) -> bool:
        with self._database.write() as connection:
            return self._hold(connection, batch.id, "running")

    def chunks(self, batch: Batch, *, after: int, limit: int) -> Sequence[Chunk]:
        with self._database.read() as connection:
            return rows.unanswered(connection, batch.id, after, limit)

    def record(self, batch: Batch, answered: Answered) -> Kept:
        try:
            with self._database.write() as connection:
                self._record(connection, batch, answered)
        except _UndoneError as undone:
            kept = undone.kept
        else:
            kept = Kept.RECORDED
        self._settled(answered.works, kept is Kept.RECORDED)
        return kept

    def _record(self, connection: Connection, batch: Batch, answered: Answered) -> None:
        mine = sa.select(_BATCHES.c.id).where(*self._mine(batch.id, "running")).with_for_update()
        if connection.execute(mine).first() is None:
            raise _UndoneError(Kept.LOST)
        chunk = _CHUNKS.update().where(
            _CHUNKS.c.batch == batch.id,
            _CHUNKS.c.first == answered.chunk.first,
            _CHUNKS.c.answers.is_(None),
        )
        values = {"answers": answered.results, "requests": None, "lines": answered.chunk.lines}
        if not connection.execute(chunk.values(**values)).rowcount:
            raise _UndoneError(Kept.RECORDED)
        if answered.rest is not None:
            connection.execute(_CHUNKS.insert(), [_chunk_row(batch.id, answered.rest)])
        outcomes = settle_within(
            self._database,
            connection,
            answered.works,
            answered.tallies,
            server=self._server,
            clock=self._clock,
        )
        if any(outcome.recorded is not Recorded.METERED for outcome in outcomes):
            raise _UndoneError(Kept.REFUSED)
        now = self._clock.now()
        self._update(
            connection,
            batch.id,
            "running",
            done=_BATCHES.c.done + answered.done,
            failed=_BATCHES.c.failed + answered.failed,
            busy_us=_BATCHES.c.busy_us + round(answered.seconds * 1e6),
            revision=_BATCHES.c.revision + 1,
            moved_at=format_time(now),
            **self._held_until(now),
        )
        found = rows.find(connection, batch.customer_id, batch.id)
        if found.done + found.failed == found.total:
            self._end(connection, batch.id, "done", None)

    def waiting(self, loaded: Loaded) -> bool:
        with self._database.read() as connection:
            return connection.execute(rows.claimable(loaded, self._clock.now())).first() is not None

    def yield_turn(self, batch: Batch, *, reason: str | None = None, seconds: float = 0.0) -> None:
        now = self._clock.now()
        table = _BATCHES.c
        with self._database.write() as connection:
            # In one order, so that two servers cannot wait for each other.
            line = (
                sa.select(table.id)
                .where(table.customer_id == batch.customer_id, table.status.in_(_OPEN))
                .order_by(table.id)
            )
            ids = list(connection.scalars(line.with_for_update()))
            connection.execute(
                _BATCHES.update()
                .where(*self._mine(batch.id, "running"))
                .values(
                    status="paused" if reason else "queued",
                    reason=reason,
                    revision=table.revision + 1,
                    turn_at=format_time(now + timedelta(seconds=seconds)),
                    owner=None,
                    lease_until=None,
                )
            )
            # All of the customer's go to the end of the line: a turn is the customer's.
            connection.execute(
                _BATCHES.update()
                .where(table.id.in_(ids), table.turn_at < format_time(now))
                .values(turn_at=format_time(now))
            )

    # What any server does now and then.

    def tidy(self, loaded: Loaded) -> None:
        now = self._clock.now()
        with self._database.read() as connection:
            found = rows.untidy(connection, now, self._days, loaded)
        for batch_id in found.unreceived:
            with self._database.write() as connection:
                if self._update(connection, batch_id, "receiving", before=now, status="removed"):
                    rows.erase(connection, batch_id, row=True)
        for batch_id in found.expired:
            with self._database.write() as connection:
                rows.erase(connection, batch_id)
        for batch_id, reason in found.stuck:
            with self._database.write() as connection:
                self._end(connection, batch_id, "failed", reason, before=now)
        for batch_id in found.seen:
            with self._database.write() as connection:
                self._update(connection, batch_id, *_OPEN, seen_at=format_time(now))
        for batch_id, reason in found.stranded:
            with self._database.write() as connection:
                self._update(
                    connection,
                    batch_id,
                    *_OPEN,
                    before=now,
                    status="paused",
                    reason=reason,
                    revision=_BATCHES.c.revision + 1,
                    owner=None,
                    lease_until=None,
                )

    def _held_until(self, now: datetime) -> dict[str, Any]:
        return {"owner": self._server, "lease_until": format_time(now + self._lease)}

    def _hold(self, connection: Connection, batch_id: str, status: str) -> bool:
        held = self._held_until(self._clock.now())
        statement = _BATCHES.update().where(*self._mine(batch_id, status)).values(**held)
        return bool(connection.execute(statement).rowcount)

    def _mine(self, batch_id: str, status: str) -> tuple[Any, ...]:
        table = _BATCHES.c
        return (table.id == batch_id, table.owner == self._server, table.status == status)

    def _update(
        self,
        connection: Connection,
        batch_id: str,
        *statuses: str,
        before: datetime | None = None,
        **values: Any,
    ) -> bool:
        """Change a batch that has one of these statuses; with `before` only if nobody holds it."""
        statement = _BATCHES.update().where(
            _BATCHES.c.id == batch_id, _BATCHES.c.status.in_(statuses)
        )
        if before is not None:
            statement = statement.where(rows.unheld(before))
        return bool(connection.execute(statement.values(**values)).rowcount)

    def _end(
        self,
        connection: Connection,
        batch_id: str,
        status: str,
        reason: str | None,
        *,
        before: datetime | None = None,
    ) -> None:
        """It is over: what was not answered is dropped, results stay for a while."""
        now = self._clock.now()
        ended = self._update(
            connection,
            batch_id,
            *_OPEN,
            before=before,
            status=status,
            reason=reason,
            revision=_BATCHES.c.revision + 1,
            ended_at=format_time(now),
            expires_at=format_time(now + self._days),
            owner=None,
            lease_until=None,
        )
        if ended:
            rows.drop_requests(connection, batch_id)


def _chunk_row(batch_id: str, chunk: Chunk) -> dict[str, Any]:
    return {
        "batch": batch_id,
        "first": chunk.first,
        "line": chunk.line,
        "lines": chunk.lines,
        "requests": chunk.requests,
        "answers": None,
    }


def _unreceived() -> UnavailableError:
    return UnavailableError(
        "The batch could not be received in time.", hint="Send it again.", retry_after=5.0
    )
