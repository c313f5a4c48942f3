"""Usage events: recorded once, with the answer to a keyed request, before the answer leaves."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.clock import Clock, format_time
from freehold.errors import ConflictError
from freehold.meter.holds import LapsedError, rows_to_settle, settle_holds, use_holds
from freehold.serve.ports import Outcome, Recorded, Tally, Work
from freehold.store import schema
from freehold.store.database import Database

__all__ = [
    "ServedRow",
    "UsageRow",
    "UsageTotals",
    "replay",
    "served_rows",
    "settle",
    "settle_within",
    "usage",
    "usage_by_customer",
    "usage_rows",
]


def settle(
    database: Database,
    works: Sequence[Work],
    tallies: Sequence[Tally],
    *,
    server: str,
    clock: Clock,
) -> list[Outcome]:
    """Record answered requests in one transaction; when it returns they are durable.

    A work with an Idempotency-Key is recorded only if nobody was faster with that key: the loser
    gets the winner's answer (REPLAYED) if its payload is the same, else nothing (CONFLICT), and
    neither is metered. `tallies` are what the server counted by itself; they are kept, less what
    was not metered, as a second record that `reconcile` holds against the first. The hold of a work
    becomes use in the same transaction; one that has lapsed is taken anew, and where nothing is
    left the work is REFUSED, and not metered. A request id is metered once: works that were
    recorded already, as after a commit whose acknowledgement was lost, or by another server that
    had the same request before it died, change nothing and are REPLAYED.

    Raises StoreError; nothing is recorded then.
    """
    if not works:
        return []
    try:
        with database.write() as connection:
            return settle_within(
                database, connection, works, tallies, server=server, clock=clock, lapsed=False
            )
    except LapsedError:
        with database.write() as connection:
            return settle_within(database, connection, works, tallies, server=server, clock=clock)


def settle_within(
    database: Database,
    connection: Connection,
    works: Sequence[Work],
    tallies: Sequence[Tally],
    *,
    server: str,
    clock: Clock,
    lapsed: bool = True,
) -> list[Outcome]:
    """As `settle`, within the transaction of something that is to be recorded with it.

    Without `lapsed` holds are not looked at one by one, which is quicker; LapsedError is raised
    where one is not there any more, and nothing of the transaction may stay.
    """
    # Read within the transaction: SQLite's writers then record times in the order of commits.
    now = clock.now()
    at = format_time(now)
    stored = _claim(database, connection, works, at)
    outcomes = [_outcome(work, stored) for work in works]
    paid = [
        work
        for work, outcome in zip(works, outcomes, strict=True)
        if outcome.recorded is Recorded.METERED
    ]
    balances = rows_to_settle(database, connection, paid, now) if lapsed else {}
    counted = _insert_events(database, connection, paid, at)
    fresh = _fresh(works, counted)
    held = [work for work in itertools.compress(works, fresh) if work.hold is not None]
    if held and lapsed:
        refused = settle_holds(connection, balances, held, server, now)
        if refused:
            outcomes = _refuse(connection, works, outcomes, refused)
            fresh = _fresh(works, counted - refused)
    elif held:
        use_holds(connection, held, server, now)
    uncounted = [work for work, is_new in zip(works, fresh, strict=True) if not is_new]
    rows = _served(tallies, uncounted, server, at)
    if rows:
        database.insert_missing(connection, schema.served, "at", rows)
    return [
        outcome
        if is_new or outcome.recorded is not Recorded.METERED
        else replace(outcome, recorded=Recorded.REPLAYED)
        for outcome, is_new in zip(outcomes, fresh, strict=True)
    ]


def replay(database: Database, customer_id: str, key: str, digest: str) -> bytes | None:
    """The answer stored under a customer's Idempotency-Key; None if there is none.

    Raises ConflictError if the key was given to a payload with another digest, and StoreError.
    """
    table = schema.answers
    query = sa.select(table.c.payload_digest, table.c.body).where(
        table.c.customer_id == customer_id, table.c.idempotency_key == key
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if row.payload_digest != digest:
        raise ConflictError(
            "This Idempotency-Key was used for a request with another path or body.",
            hint="Send a new key with a new request.",
        )
    return bytes(row.body)


def _claim(
    database: Database, connection: Connection, works: Iterable[Work], at: str
) -> dict[tuple[str, str], tuple[str, str, bytes]]:
    """Store the answers of works with a key; what was there before comes back, by customer and key,
    as (request id, payload digest, body)."""
    # In one order everywhere, so that two settlers with the same keys cannot wait for each other.
    keyed = sorted(
        (
            (work.caller.customer_id, work.idempotency_key, work)
            for work in works
            if work.idempotency_key is not None
        ),
        key=lambda entry: entry[:2],
    )
    if not keyed:
        return {}
    table = schema.answers
    rows = [
        {
            "customer_id": customer_id,
            "idempotency_key": key,
            "payload_digest": work.payload_digest,
            "request_id": work.request_id,
            "body": work.body,
            "at": at,
        }
        for customer_id, key, work in keyed
    ]
    statement = database.insert_new(table).returning(table.c.request_id)
    won = set(connection.execute(statement, rows).scalars())
    lost = {(customer_id, key) for customer_id, key, work in keyed if work.request_id not in won}
    stored = {}
    for customer_id, key in lost:
        row = connection.execute(
            sa.select(table.c.request_id, table.c.payload_digest, table.c.body).where(
                table.c.customer_id == customer_id, table.c.idempotency_key == key
            )
        ).one()
        stored[customer_id, key] = (row.request_id, row.payload_digest, bytes(row.body))
    return stored


def _outcome(work: Work, stored: dict[tuple[str, str], tuple[str, str, bytes]]) -> Outcome:
    winner = stored.get((work.caller.customer_id, work.idempotency_key or ""))
    if winner is None:
        return Outcome(work.request_id, Recorded.METERED, work.body)
    request_id, digest, body = winner
    if request_id == work.request_id:
        return Outcome(request_id, Recorded.METERED, body)
    if digest == work.payload_digest:
        return Outcome(work.request_id, Recorded.REPLAYED, body)
    return Outcome(work.request_id, Recorded.CONFLICT, b"")


def _refuse(
    connection: Connection,
    works: Sequence[Work],
    outcomes: Sequence[Outcome],
    refused: Container[str],
) -> list[Outcome]:
    """Take back what this transaction recorded of works that cannot be paid; and no work gets the
    answer of one of them under its Idempotency-Key."""
    ids = [work.request_id for work in works if work.request_id in refused]
    for table in (schema.usage_events, schema.answers):
        connection.execute(table.delete().where(table.c.request_id.in_(ids)))
    keys = {
        (work.caller.customer_id, work.idempotency_key)
        for work in works
        if work.request_id in refused and work.idempotency_key is not None
    }
    return [
        Outcome(work.request_id, Recorded.REFUSED, b"")
        if work.request_id in refused or (work.caller.customer_id, work.idempotency_key) in keys
        else outcome
        for work, outcome in zip(works, outcomes, strict=True)
    ]


def _insert_events(
    database: Database, connection: Connection, works: Sequence[Work], at: str
) -> set[str]:
    """Insert an event a work; the request ids that were new come back."""
    if not works:
        return set()
    rows = [
        {
            "customer_id": work.caller.customer_id,
            "request_id": work.request_id,
            "key_id": work.caller.key_id,
            "model": work.model,
            "version": work.version,
            "inputs": work.inputs,
            "tokens": work.tokens,
            "compute_us": work.compute_us,
            "cached_inputs": work.cached_inputs,
            "cached_tokens": work.cached_tokens,
            "at": at,
        }
        for work in works
    ]
    return set(database.insert_missing(connection, schema.usage_events, "request_id", rows))


def _fresh(works: Sequence[Work], counted: Iterable[str]) -> list[bool]:
    """Whether a work is the one that its event was inserted for: of those with one id the first."""
    left = set(counted)
    found = []
    for work in works:
        found.append(work.request_id in left)
        left.discard(work.request_id)
    return found


def _served(
    tallies: Sequence[Tally], uncounted: Sequence[Work], server: str, at: str
) -> list[dict[str, Any]]:
    """The server's own count as rows, one a model version, less the works that were not metered."""
    kept: dict[tuple[str, int], Tally] = {}
    for tally in tallies:
        place = (tally.model, tally.version)
        found = kept.get(place)
        kept[place] = tally if found is None else found.plus(*_counts(tally))
    for work in uncounted:
        found = kept.get((work.model, work.version))
        if found is not None:
            kept[work.model, work.version] = found.plus(
                -1,
                -work.inputs,
                -work.tokens,
                -work.compute_us,
                -work.cached_inputs,
                -work.cached_tokens,
            )
    return [
        {
            "server": server,
            "at": at,
            "model": tally.model,
            "version": tally.version,
            "requests": tally.requests,
            "inputs": tally.inputs,
            "tokens": tally.tokens,
            "compute_us": tally.compute_us,
            "cached_inputs": tally.cached_inputs,
            "cached_tokens": tally.cached_tokens,
        }
        for tally in kept.values()
        if any(_counts(tally))
    ]


def _counts(tally: Tally) -> tuple[int, int, int, int, int, int]:
    return (
        tally.requests,
        tally.inputs,
        tally.tokens,
        tally.compute_us,
        tally.cached_inputs,
        tally.cached_tokens,
    )


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Sums over usage events; `compute_us` in microseconds of the engine."""

    requests: int
    inputs: int
    tokens: int
    compute_us: int


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one customer used of one model version."""

    customer_id: str
    model: str
    version: int
    requests: int
    inputs: int
    tokens: int
    compute_us: int


@dataclass(frozen=True, slots=True)
class ServedRow:
    """What servers counted of one model version, in the record of their own."""

    model: str
    version: int
    requests: int
    inputs: int
    tokens: int
    compute_us: int


def usage(
    connection: Connection,
    *,
    customer_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> list[UsageRow]:
    """Sums of the events in [start, end), by customer, model and version, in that order."""
    table = schema.usage_events
    keys = (table.c.customer_id, table.c.model, table.c.version)
    query = _between(_sums(table, keys, sa.func.count()), table, start, end)
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    rows = [UsageRow(*row[:3], *map(int, row[3:])) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (row.customer_id, row.model, row.version))


def usage_rows(
    connection: Connection, start: datetime | None = None, end: datetime | None = None
) -> list[UsageRow]:
    """As `usage`, of every customer."""
    return usage(connection, start=start, end=end)


def usage_by_customer(
    connection: Connection,
    customer_id: str,
    start: datetime | None = None,
    end: datetime | None = None,
) -> UsageTotals:
    """Sums of one customer's events in [start, end), over all models."""
    rows = usage(connection, customer_id=customer_id, start=start, end=end)
    return UsageTotals(
        requests=sum(row.requests for row in rows),
        inputs=sum(row.inputs for row in rows),
        tokens=sum(row.tokens for row in rows),
        compute_us=sum(row.compute_us for row in rows),
    )


def served_rows(
    connection: Connection, start: datetime | None = None, end: datetime | None = None
) -> list[ServedRow]:
    """Sums of what the servers counted in [start, end), by model and version."""
    table = schema.served
    requests = sa.func.sum(table.c.requests)
    query = _between(_sums(table, (table.c.model, table.c.version), requests), table, start, end)
    rows = [ServedRow(*row[:2], *map(int, row[2:])) for row in connection.execute(query)]
    return sorted(rows, key=lambda row: (row.model, row.version))


def _sums(
    table: sa.Table, keys: Sequence[sa.Column[Any]], requests: sa.ColumnElement[int]
) -> sa.Select[Any]:
    sums = [sa.func.sum(table.c[name]) for name in ("inputs", "tokens", "compute_us")]
    return sa.select(*keys, requests, *sums).group_by(*keys)


def _between(
    query: sa.Select[Any], table: sa.Table, start: datetime | None, end: datetime | None
) -> sa.Select[Any]:
    if start is not None:
        query = query.where(table.c.at >= format_time(start))
    if end is not None:
        query = query.where(table.c.at < format_time(end))
    return query
