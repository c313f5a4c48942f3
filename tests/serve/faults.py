"""What is done to a server's surroundings, each as a block at whose end it is over: the database
goes away, its lock is held, the disk is full. Used by test_faults.py and by `make chaos`."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from freehold.testing import run_verb

__all__ = ["files_full", "killed", "locked", "reconciled", "shut_out", "suspended"]


def reconciled(url: str, folder: Path) -> dict[str, object]:
    """What `freehold reconcile` says of a database; its difference has to be 0."""
    folder.mkdir(exist_ok=True)
    (folder / "freehold.toml").write_text('[project]\nname = "chaos"\n', encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREEHOLD_DATABASE_URL", url)
        found = run_verb(folder, "reconcile")
    assert found["difference"] == 0, found
    assert found["served"] == found["metered"] > 0, found
    return found


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another program holds SQLite's lock for writing."""
    other = sqlite3.connect(file, isolation_level=None, timeout=60)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@contextmanager
def shut_out(url: str) -> Iterator[None]:
    """A PostgreSQL database lets nobody in, and whoever was there is thrown out."""
    parsed = sa.make_url(url)
    socket = f"{parsed.query['host']}/.s.PGSQL.{parsed.port or 5432}"
    admin = sa.create_engine(
        sa.URL.create("postgresql+pg8000", username=parsed.username, database="postgres"),
        isolation_level="AUTOCOMMIT",
        connect_args={"unix_sock": socket},
    )

    def allow(yes: bool) -> None:
        with admin.connect() as connection:
            connection.execute(
                sa.text(f"ALTER DATABASE {parsed.database} ALLOW_CONNECTIONS {str(yes).lower()}")
            )

    allow(False)
    with admin.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": parsed.database},
        )
    try:
        yield
    finally:
        allow(True)
        admin.dispose()


@contextmanager
def files_full(pid: int) -> Iterator[None]:
    """No file of a process may be written beyond its first page: as on a disk that is full."""
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """A process stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def killed(pid: int) -> Iterator[None]:
    """A process is gone for good."""
    os.kill(pid, signal.SIGKILL)
    yield
