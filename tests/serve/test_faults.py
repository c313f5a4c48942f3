"""The database goes away, the disk is full, a server dies beside another, the clock jumps: answers
stop or go on elsewhere, none leaves unmetered, and it all resumes by itself. `make chaos` has each
for longer."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from faults import files_full, killed, locked, reconciled, shut_out
from killing import Load, customers, nursery, violations
from serving import SETTINGS, FakeEngine, rows

from freehold.app.sell import ProjectGate
from freehold.bill.document import Issuer
from freehold.bill.invoices import close_all
from freehold.bill.periods import period_of
from freehold.bill.reconcile import Reconciliation, reconcile
from freehold.clock import SystemClock, format_time
from freehold.project import Project
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database


def gone(database: Database, url: str) -> AbstractContextManager[None]:
    if database.dialect == "postgresql":
        return shut_out(url)
    return locked(Path(sa.make_url(url).database or ""))


def test_a_database_that_is_gone_stops_answers_until_it_is_back(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    load = Load(customers(database), random.Random(1))
    with nursery(database_url) as house:
        _, url = house.start()
        # SQLite's lock is waited for, for a while.
        begun, ended = load.through(
            [url], gone(database, database_url), 0.3, refused=database.dialect == "postgresql"
        )
    assert load.diary.within(begun, ended)[0] == 0
    assert violations(database, load.diary) == []
    reconciled(database_url, tmp_path / "project")


def test_a_gate_that_answers_without_its_database_is_found_out(
    sqlite: Database, tmp_path: Path
) -> None:
    load = Load(customers(sqlite, limits=False), random.Random(2))
    with nursery(f"sqlite:///{tmp_path / 'freehold.db'}", "careless") as house:
        pid, url = house.start()
        load.through([url], files_full(pid), 0.3)
    found = violations(sqlite, load.diary)
    assert any("was answered and not metered" in line for line in found), found


def test_a_full_disk_stops_answers_until_there_is_room(sqlite: Database, tmp_path: Path) -> None:
    load = Load(customers(sqlite), random.Random(3))
    address = f"sqlite:///{tmp_path / 'freehold.db'}"
    with nursery(address) as house:
        pid, url = house.start()
        begun, ended = load.through([url], files_full(pid), 0.3, refused=True)
    assert load.diary.within(begun, ended)[0] == 0
    assert violations(sqlite, load.diary) == []
    reconciled(address, tmp_path / "project")


def test_a_server_that_dies_is_outlived_by_another(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    load = Load(customers(database), random.Random(4))
    with nursery(database_url) as house:
        servers = [house.start() for _ in range(2)]
        urls = [url for _, url in servers]
        begun, ended = load.through(urls, killed(servers[0][0]), 0.5)
    answered, _ = load.diary.within(begun, ended)
    assert answered > 0
    assert violations(database, load.diary) == []
    reconciled(database_url, tmp_path / "project")


@dataclass
class Jumping(SystemClock):
    """A clock that somebody sets; durations are real."""

    at: datetime

    def now(self) -> datetime:
        return self.at


def over_the_month(database: Database, steady: bool) -> Reconciliation:
    """Serve before a month's end and after it, close it, then serve with the clock set back."""
    month = period_of(SystemClock().now())
    before = period_of(month.start - timedelta(days=1))
    load = Load(customers(database, starts=before.start), random.Random(5))
    clock = Jumping(month.start - timedelta(minutes=20))
    issuer = Issuer.of(Project(Path(), "chaos"))
    gate = ProjectGate(database, clock, server="s", records=None if steady else clock)
    with ServerThread({"bank": FakeEngine()}, gate, SETTINGS, clock=clock) as server:
        load.through([server.url], nullcontext(), 0.05)
        clock.at += timedelta(minutes=25)
        load.through([server.url], nullcontext(), 0.05)
        close_all(database, before, SystemClock(), issuer)
        clock.at -= timedelta(minutes=25)
        load.through([server.url], nullcontext(), 0.05)
    gate.close()
    assert violations(database, load.diary) == []
    at = [event.at for event in rows(database, schema.usage_events)]
    assert {text < format_time(month.start) for text in at} == {True, False}
    books = reconcile(database, SystemClock())
    for period in (before, month):
        close_all(database, period, SystemClock(), issuer)
    billed = reconcile(database, SystemClock())
    assert billed.difference == 0
    assert billed.served == billed.metered == billed.invoiced == billed.ledger > 0
    return books


def test_a_clock_that_is_set_back_bills_nothing_into_a_closed_month(database: Database) -> None:
    assert over_the_month(database, steady=True).difference == 0


def test_without_the_steady_clock_it_would(sqlite: Database) -> None:
    assert over_the_month(sqlite, steady=False).difference > 0
