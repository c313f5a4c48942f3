"""The connector's contract, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import socket
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from freehold.errors import StoreError
from freehold.store import database as database_module
from freehold.store import schema
from freehold.store.database import Database
from freehold.store.migrate import config


def _customer(number: int) -> dict[str, str]:
    return {"id": f"cus_{number}", "name": f"Customer {number}", "created_at": "2026-01-01"}


def _names(database: Database) -> list[str]:
    with database.read() as connection:
        query = sa.select(schema.customers.c.name).order_by(schema.customers.c.name)
        return list(connection.scalars(query))


def test_head_is_the_newest_migration() -> None:
    assert ScriptDirectory.from_config(config()).get_current_head() == schema.HEAD


def test_migrations_make_the_declared_schema(database: Database) -> None:
    with database.write() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []


def test_a_transaction_is_all_or_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.execute(schema.customers.insert(), _customer(1))
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(schema.customers.insert(), _customer(2))
        raise ZeroDivisionError
    assert _names(database) == ["Customer 1"]


def test_a_read_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        connection.execute(schema.customers.insert(), _customer(1))
    assert _names(database) == []


def test_a_read_sees_one_state(database: Database) -> None:
    with database.write() as connection:
        connection.execute(schema.customers.insert(), _customer(1))
    count = sa.select(sa.func.count()).select_from(schema.customers)
    with database.read() as reader:
        assert reader.scalar(count) == 1
        with database.write() as writer:
            writer.execute(schema.customers.insert(), _customer(2))
        assert reader.scalar(count) == 1
    assert len(_names(database)) == 2


def test_concurrent_writers_lose_nothing(database: Database) -> None:
    def work(start: int) -> None:
        for number in range(start, start + 10):
            with database.write() as connection:
                connection.execute(schema.customers.insert(), _customer(number))

    threads = [threading.Thread(target=work, args=(n * 10,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_names(database)) == 40


def test_locked_counters_have_no_gaps_and_no_doubles(database: Database) -> None:
    taken: list[int] = []

    def take() -> None:
        for _ in range(5):
            with database.write() as connection:
                database.lock(connection, "number")
                count = sa.select(sa.func.count()).select_from(schema.entries)
                number = 1 + (connection.scalar(count) or 0)
                row = {"key": f"k{number}", "at": "t", "description": "d"}
                connection.execute(schema.entries.insert(), row)
                taken.append(number)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(1, 21))


def test_insert_new_leaves_the_first(database: Database) -> None:
    with database.write() as connection:
        connection.execute(database.insert_new(schema.customers), [_customer(1), _customer(1)])
    assert _names(database) == ["Customer 1"]


def test_a_refused_change_is_a_sentence(database: Database) -> None:
    with pytest.raises(StoreError, match="refused"), database.write() as connection:
        connection.execute(schema.customers.insert(), [_customer(1), _customer(1)])
    assert _names(database) == []


def test_opening_twice_keeps_what_is_there(database_url: str) -> None:
    with Database.open(database_url) as first, first.write() as connection:
        connection.execute(schema.customers.insert(), _customer(1))
    with Database.open(database_url) as second:
        assert _names(second) == ["Customer 1"]


def test_many_may_open_an_empty_database_at_once(database_url: str) -> None:
    failures: list[BaseException] = []

    def open_it() -> None:
        try:
            Database.open(database_url).close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_new_file_that_another_has_locked_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite refuses at once to change the mode of a file in which another has begun to write."""
    other = sqlite3.connect(tmp_path / "freehold.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited = []

    def let_go(seconds: float) -> None:
        waited.append(seconds)
        if other.in_transaction:
            other.execute("COMMIT")

    monkeypatch.setattr(database_module.time, "sleep", let_go)
    Database.open_file(tmp_path / "freehold.db").close()
    other.close()
    assert waited


def test_sqlite_is_durable(sqlite: Database) -> None:
    with sqlite.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_an_unreachable_postgresql_is_a_sentence_without_the_password() -> None:
    url = "postgresql://someone:secret@127.0.0.1:1/nothing"
    with pytest.raises(StoreError) as caught:
        Database.open(url)
    assert "did not answer" in caught.value.message
    assert "secret" not in caught.value.sentence()


@pytest.mark.parametrize("url", ["mysql://host/db", "what is this"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StoreError):
        Database.open(url)


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "freehold.db").write_text("this is a letter to my bank" * 100)
    with pytest.raises(StoreError):
        Database.open_file(tmp_path / "freehold.db")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_late_answer_is_not_taken_for_the_next(database: Database) -> None:
    with pytest.raises(StoreError, match="broke"), database.read() as connection:
        connection.connection.dbapi_connection._usock.settimeout(0.1)  # type: ignore[union-attr]
        connection.execute(sa.text("SELECT 7, pg_sleep(0.15)"))
    for number in range(3):
        with database.read() as connection:
            assert connection.scalar(sa.text(f"SELECT {number}")) == number


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_that_is_cut_is_a_store_error(database: Database) -> None:
    for _ in range(2):  # the second finds what the first has left
        with pytest.raises(StoreError), database.read() as connection:
            connection.connection.dbapi_connection._usock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
            connection.execute(sa.text("SELECT 1"))
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_errors_of_who_uses_a_connection_pass(database: Database) -> None:
    for opened in (database.read, database.write):
        with pytest.raises(FileNotFoundError), opened():
            Path("/no/such/file").read_text()


def test_errors_do_not_show_what_was_to_be_written(database: Database) -> None:
    secret = {"id": "cus_1", "name": "a secret", "created_at": "2026"}
    with pytest.raises(StoreError) as refused, database.write() as connection:
        connection.execute(schema.customers.insert(), secret)
        connection.execute(schema.customers.insert(), secret)
    shown = f"{refused.value} {refused.value.__cause__}"
    assert "a secret" not in shown
    assert "hidden" in shown
