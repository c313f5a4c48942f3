"""The server is killed under load, again and again: what was answered is metered once, none twice.

Two servers run over PostgreSQL at a time, so that the same key is in flight in two processes. The
last tests spoil the gate and show that the checks see it. `make chaos` kills ten times as often.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from killing import Load, customers, nursery, unpaid, violations

from freehold.bill.reconcile import reconcile
from freehold.clock import SystemClock
from freehold.store.database import Database

KILLS = 32


def test_nothing_is_lost_or_doubled_when_the_server_is_killed(
    database: Database, database_url: str
) -> None:
    load = Load(customers(database), random.Random(20261123))
    servers = 2 if database.dialect == "postgresql" else 1
    with nursery(database_url) as house:
        load.kill_again_and_again(house, servers, KILLS)
    assert violations(database, load.diary) == []
    books = reconcile(database, SystemClock())
    assert books.difference == 0
    assert unpaid(database) == []
    assert books.served == books.metered > 0
    load.assert_replays(KILLS, servers)


@pytest.mark.parametrize(
    ("mutant", "said"),
    [("early", "was answered and"), ("forgetful", "events were metered for them")],
)
def test_a_spoilt_gate_is_found_out(
    sqlite: Database, tmp_path: Path, mutant: str, said: str
) -> None:
    load = Load(customers(sqlite), random.Random(7))
    with nursery(f"sqlite:///{tmp_path / 'freehold.db'}", mutant) as house:
        load.kill_again_and_again(house, 1, 5)
    found = violations(sqlite, load.diary)
    assert any(said in line for line in found), (len(load.diary.answers), found)
