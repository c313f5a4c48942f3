"""What a server stands on is taken away for ten seconds and given back: answers stop with 503 and
Retry-After, nothing leaves unmetered, and the service resumes by itself."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from faults import files_full, killed, locked, reconciled, suspended
from killing import Load, customers, nursery, violations

from freehold.store.database import Database

SECONDS = 10.0


def check(load: Load, database: Database, url: str, folder: Path, span: tuple[float, float]) -> int:
    """No answer in the span, and the books are right; how many were refused in it."""
    answered, refused = load.diary.within(*span)
    assert answered == 0
    assert violations(database, load.diary) == []
    books = reconciled(url, folder)
    print(
        f"{span[1] - span[0]:.1f} s: {refused} refused, none answered; before and after it "
        f"{len(load.diary.answers)} answers, difference {books['difference']}"
    )
    return refused


@contextmanager
def stopped(server: Any, how: str) -> Iterator[None]:
    """PostgreSQL itself is shut down, or dies, and is started again."""
    if how == "killed":
        pid = server.get_pid()
        os.kill(pid, signal.SIGKILL)
        server.get_postmaster_info().process.wait(30)
    else:
        server.stop()
    try:
        yield
    finally:
        server.ensure_postgres_running()


@pytest.mark.parametrize("how", ["shut down", "killed"])
def test_postgresql_is_gone(
    mortal_postgres: Any, how: str, tmp_path: Path, chance: random.Random
) -> None:
    url = mortal_postgres.get_uri()
    with Database.open(url) as database, nursery(url) as house:
        load = Load(customers(database), chance)
        servers = [house.start()[1] for _ in range(2)]
        span = load.through(servers, stopped(mortal_postgres, how), SECONDS, refused=True)
        assert check(load, database, url, tmp_path / "project", span) > 0


def test_postgresql_answers_nothing(
    mortal_postgres: Any, tmp_path: Path, chance: random.Random
) -> None:
    """It is there and stands still, as behind a network that loses all: waiting has an end."""
    url = mortal_postgres.get_uri()
    with Database.open(url) as database, nursery(url) as house:
        load = Load(customers(database), chance)
        _, server = house.start()
        with frozen(mortal_postgres) as freeze:
            load.through([server], freeze, SECONDS, refused=True)
        assert violations(database, load.diary) == []
        reconciled(url, tmp_path / "project")


@contextmanager
def frozen(server: Any) -> Iterator[Any]:
    """A block in which every process of the server stands still."""
    leader = server.get_postmaster_info().process

    @contextmanager
    def freeze() -> Iterator[None]:
        processes = [leader, *leader.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    yield freeze()


def test_sqlite_s_lock_is_held(sqlite: Database, tmp_path: Path, chance: random.Random) -> None:
    file = tmp_path / "freehold.db"
    url = f"sqlite:///{file}"
    load = Load(customers(sqlite), chance)
    with nursery(url) as house:
        _, server = house.start()
        span = load.through([server], locked(file), SECONDS, refused=True)
    assert check(load, sqlite, url, tmp_path / "project", span) > 0


def test_files_cannot_grow(sqlite: Database, tmp_path: Path, chance: random.Random) -> None:
    url = f"sqlite:///{tmp_path / 'freehold.db'}"
    load = Load(customers(sqlite), chance)
    with nursery(url) as house:
        pid, server = house.start()
        span = load.through([server], files_full(pid), SECONDS, refused=True)
    assert check(load, sqlite, url, tmp_path / "project", span) > 0


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 4 MB; skips where none may be mounted."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        subprocess.run(mounting, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system may be mounted by root alone; see test_files_cannot_grow")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Nothing is left of the disk's room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    try:
        yield
    finally:
        ballast.unlink()


def test_the_disk_is_full(tmp_path: Path, chance: random.Random) -> None:
    with small_disk(tmp_path / "disk") as disk:
        url = f"sqlite:///{disk / 'freehold.db'}"
        with Database.open(url) as database:
            load = Load(customers(database), chance)
            with nursery(url) as house:
                _, server = house.start()
                # What the log of writes has room for is still answered; then it is over.
                load.through([server], filled(disk), SECONDS, refused=True)
            assert load.diary.refusals
            assert violations(database, load.diary) == []
            reconciled(url, tmp_path / "project")


def test_one_of_two_servers_dies(
    database: Database, database_url: str, tmp_path: Path, chance: random.Random
) -> None:
    load = Load(customers(database), chance)
    with nursery(database_url) as house:
        for _ in range(20):
            servers = [house.start() for _ in range(2)]
            span = load.through([url for _, url in servers], killed(servers[0][0]), 0.5)
            assert load.diary.within(*span)[0] > 0
    assert violations(database, load.diary) == []
    reconciled(database_url, tmp_path / "project")


def test_a_server_stands_still_beside_another(
    database: Database, database_url: str, tmp_path: Path, chance: random.Random
) -> None:
    """As on a machine that swaps: its clients wait, and those of the other do not."""
    load = Load(customers(database), chance)
    with nursery(database_url) as house:
        servers = [house.start() for _ in range(2)]
        urls = [url for _, url in servers]
        load.through(urls, suspended(servers[0][0]), 5.0)
    assert violations(database, load.diary) == []
    reconciled(database_url, tmp_path / "project")


def test_a_careless_gate_is_found_out(mortal_postgres: Any, chance: random.Random) -> None:
    url = mortal_postgres.get_uri()
    with Database.open(url) as database, nursery(url, "careless") as house:
        load = Load(customers(database), chance)
        _, server = house.start()
        load.through([server], stopped(mortal_postgres, "shut down"), 2.0)
        found = violations(database, load.diary)
    assert any("was answered and not metered" in line for line in found), found
