"""Servers are killed while they work on batches, again and again: no line is lost, none doubled.

Over PostgreSQL two servers work at a time.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import httpx
from killing import nursery
from serving import rows, until
from test_batches import customer, results, status, submit, texts

from freehold.bill.reconcile import reconcile
from freehold.clock import SystemClock
from freehold.store import schema
from freehold.store.database import Database

LINES = 120
KILLS = 3


def test_a_batch_survives_the_death_of_whoever_works_on_it(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    key = customer(database)
    chance = random.Random(20261124)
    headers = {"Authorization": f"Bearer {key}"}
    servers = 2 if database.dialect == "postgresql" else 1
    killed_at: list[int] = []
    with nursery(database_url, str(tmp_path), script="batch_server.py") as house:
        running = [house.start() for _ in range(servers)]

        def http() -> httpx.Client:
            return httpx.Client(base_url=running[-1][1], headers=headers, timeout=30)

        with http() as first:
            # A retry over the death of the server that took it in makes no second batch.
            batches = [
                submit(first, texts(LINES, word=word), **{"Idempotency-Key": word})
                for word in ("one", "two")
            ]
        for _ in range(KILLS):
            done = _done(database)
            until(lambda done=done: _done(database) > done or _over(database))
            time.sleep(chance.uniform(0.0, 0.1))
            killed_at.append(_done(database))
            for pid, _ in running:
                os.kill(pid, signal.SIGKILL)
            running = [house.start() for _ in range(servers)]
            with http() as client:
                again = submit(client, texts(LINES, word="one"), **{"Idempotency-Key": "one"})
                assert again == batches[0]
        with http() as client:
            for batch in batches:
                until(lambda batch=batch: status(client, batch)["status"] == "done", 60)
                found = results(client, batch)
                assert [line["line"] for line in found] == list(range(1, LINES + 1))
                assert all(line["output"] for line in found)
        for pid, _ in running:
            os.kill(pid, signal.SIGTERM)
    events = [event.request_id for event in rows(database, schema.usage_events)]
    expected = [f"{batch['id']}:{line}" for batch in batches for line in range(1, LINES + 1)]
    assert sorted(events) == sorted(expected)
    books = reconcile(database, SystemClock())
    assert (books.difference, books.served, books.metered) == (0, 2 * LINES, 2 * LINES)
    assert len(rows(database, schema.batches)) == 2
    # The kills came in the middle, and several servers had a part in it.
    assert len({done for done in killed_at if 0 < done < 2 * LINES}) > 1
    assert len({row.server for row in rows(database, schema.served)}) > 1


def _done(database: Database) -> int:
    return sum(batch.done for batch in rows(database, schema.batches))


def _over(database: Database) -> bool:
    return all(batch.status == "done" for batch in rows(database, schema.batches))
