"""SIGKILL at 300 random points under load, with duplicates and retries, on both databases."""

from __future__ import annotations

import random
from pathlib import Path

from faults import reconciled
from killing import Load, customers, nursery, violations

from freehold.store.database import Database

KILLS = 300


def test_three_hundred_kills(
    database: Database, database_url: str, tmp_path: Path, chance: random.Random
) -> None:
    load = Load(customers(database), chance)
    servers = 2 if database.dialect == "postgresql" else 1
    with nursery(database_url) as house:
        load.kill_again_and_again(house, servers, KILLS)
    assert violations(database, load.diary) == []
    load.assert_replays(KILLS, servers)
    books = reconciled(database_url, tmp_path / "project")
    print(
        f"{KILLS} kills: {len(load.diary.answers)} answers, {load.diary.interrupted} interrupted, "
        f"{books['metered']} inputs metered, difference {books['difference']}"
    )
