"""What canaries and shadows did, as servers write it down: each its own rows, so that writing twice
changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.registry.rule import Figures
from freehold.registry.spread import Spread
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["CanaryMinute", "ShadowDay", "judged", "record", "shadow_days", "total"]

_MILLION = 1_000_000
_PAGE = 500


@dataclass(frozen=True, slots=True)
class CanaryMinute:
    """What one server saw of a version in one minute of a canary, so far."""

    release_id: int
    version: int
    minute: str  # YYYY-MM-DDTHH:MM
    figures: Figures


@dataclass(frozen=True, slots=True)
class ShadowDay:
    """What shadow runs came to on a day: `agreed` of the `compared` inputs, not always whole."""

    release_id: int
    day: str  # YYYY-MM-DD
    model: str
    version: int
    against: int
    runs: int = 0
    failed: int = 0
    inputs: int = 0
    tokens: int = 0
    compared: int = 0
    agreed: float = 0.0
    compute_us: int = 0
    live_compute_us: int = 0


def record(
    database: Database, server: str, minutes: Sequence[CanaryMinute], days: Sequence[ShadowDay]
) -> None:
    """Write what a server has counted so far, in place of what it wrote before."""
    if not minutes and not days:
        return
    with database.write() as connection:
        for minute in minutes:
            of = (minute.release_id, minute.version, server, minute.minute)
            _put(connection, schema.canary_counts, of, _canary_values(minute.figures))
        for day in days:
            keys = (day.release_id, day.day, server)
            _put(connection, schema.shadow_counts, keys, _shadow_values(day))


def judged(
    connection: Connection, release_id: int, version: int, against: int, least: int
) -> tuple[Figures, Figures]:
    """Canary and live in the newest minutes that hold `least` requests of each, or in all there
    are."""
    table = schema.canary_counts
    minutes = sa.select(table.c.minute).where(table.c.release_id == release_id).distinct()
    found = {version: Figures(), against: Figures()}
    for start in range(0, 1_000_000, _PAGE):
        page = minutes.order_by(table.c.minute.desc()).offset(start).limit(_PAGE)
        names = list(connection.scalars(page))
        if not names:
            break
        rows = connection.execute(
            sa.select(table).where(
                table.c.release_id == release_id, table.c.minute.between(names[-1], names[0])
            )
        )
        by_minute: dict[str, list[Row[Any]]] = {}
        for row in rows:
            by_minute.setdefault(row.minute, []).append(row)
        for name in names:
            for row in by_minute.get(name, ()):
                if row.version in found:
                    found[row.version].merge([_figures(row)])
            if all(figures.requests >= least for figures in found.values()):
                return found[version], found[against]
    return found[version], found[against]


def total(connection: Connection, release_id: int) -> dict[int, Figures]:
    """Version -> all that it did during a canary."""
    table = schema.canary_counts
    found: dict[int, Figures] = {}
    for row in connection.execute(sa.select(table).where(table.c.release_id == release_id)):
        found.setdefault(row.version, Figures()).merge([_figures(row)])
    return found


def shadow_days(
    connection: Connection, *, release_id: int | None = None, start: str = "", end: str = ""
) -> list[ShadowDay]:
    """All servers' runs by release and day, in that order; days in [start, end) where given."""
    table = schema.shadow_counts
    keys = ("release_id", "day", "model", "version", "against")
    sums = (
        "runs", "failed", "inputs", "tokens", "compared", "agreed", "compute_us", "live_compute_us",
    )  # fmt: skip
    columns = [table.c[name] for name in keys]
    query = sa.select(*columns, *(sa.func.sum(table.c[name]).label(name) for name in sums))
    if release_id is not None:
        query = query.where(table.c.release_id == release_id)
    if start:
        query = query.where(table.c.day >= start)
    if end:
        query = query.where(table.c.day < end)
    rows = connection.execute(query.group_by(*columns).order_by(table.c.release_id, table.c.day))
    return [_day(row) for row in rows]


def _day(row: Row[Any]) -> ShadowDay:
    runs, failed, inputs, tokens, compared, agreed, ours, live = map(int, row[5:])
    share = agreed / _MILLION
    place = (row.release_id, row.day, row.model, row.version, row.against)
    return ShadowDay(*place, runs, failed, inputs, tokens, compared, share, ours, live)


def _put(
    connection: Connection, table: sa.Table, keys: Sequence[Any], values: Mapping[str, Any]
) -> None:
    """Into the row with this primary key. Nobody else writes it: it need not be locked between."""
    named = {column.name: key for column, key in zip(table.primary_key, keys, strict=True)}
    mine = [table.c[name] == key for name, key in named.items()]
    if not connection.execute(table.update().where(*mine).values(**values)).rowcount:
        connection.execute(table.insert(), {**named, **values})


def _canary_values(figures: Figures) -> dict[str, Any]:
    batches = {str(size): spread.document() for size, spread in figures.batches.items()}
    return {
        "answers": figures.answers,
        "errors": figures.errors,
        "latencies": msgspec.json.encode(figures.latencies.document()).decode(),
        "batches": msgspec.json.encode(batches).decode(),
    }


def _shadow_values(day: ShadowDay) -> dict[str, Any]:
    return {
        "model": day.model,
        "version": day.version,
        "against": day.against,
        "runs": day.runs,
        "failed": day.failed,
        "inputs": day.inputs,
        "tokens": day.tokens,
        "compared": day.compared,
        "agreed": round(day.agreed * _MILLION),
        "compute_us": day.compute_us,
        "live_compute_us": day.live_compute_us,
    }


def _figures(row: Row[Any]) -> Figures:
    batches: dict[str, dict[str, int]] = msgspec.json.decode(row.batches)
    return Figures(
        answers=int(row.answers),
        errors=int(row.errors),
        latencies=Spread.of(msgspec.json.decode(row.latencies)),
        batches={int(size): Spread.of(counts) for size, counts in batches.items()},
    )
