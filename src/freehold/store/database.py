"""The one connector: opens SQLite or PostgreSQL, keeps the schema up to date, names its errors."""

from __future__ import annotations

import functools
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from freehold.errors import FreeholdError, MissingDependencyError, StoreError
from freehold.store import schema

__all__ = ["Database"]

_BUSY_MS = 15_000


class Database:
    """A pool of connections: `write` is one transaction (SQLite: one writer at a time), `read` sees
    one consistent state."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self.where = where
        # SQLite has one writer at a time, and those who wait for it sleep and look again: threads
        # of one process wait for each other here instead, where the next is woken at once.
        self._writing = threading.Lock()

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Connect by URL: `sqlite:///PATH` or `postgresql://…`. Raises StoreError."""
        engine = _engine(url)
        database = cls(engine, sa.make_url(url).render_as_string(hide_password=True))
        try:
            database._upgrade(create=create)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_file(cls, path: Path) -> Self:
        """The SQLite database in a file, made if it is not there."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent} cannot be made: {error.strerror}.") from error
        return cls.open(f"sqlite:///{path}")

    @property
    def dialect(self) -> str:
        """sqlite or postgresql."""
        return self._engine.dialect.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end of the block, rolled back on any exception."""
        if self.dialect != "sqlite":
            with self._translated(), self._engine.begin() as connection:
                yield connection
            return
        if not self._writing.acquire(timeout=_BUSY_MS / 1000):
            raise StoreError(f"The database {self.where} is busy.", hint="Nothing was recorded.")
        try:
            with self._translated(), self._engine.begin() as connection:
                # The lock is taken first: a reader that turned writer could not wait for it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        finally:
            self._writing.release()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view; changes made through it are rolled back."""
        begin = (
            "BEGIN"
            if self.dialect == "sqlite"
            else "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        )
        with (
            self._translated(),
            self._engine.connect() as connection,
            connection.begin() as transaction,
        ):
            connection.exec_driver_sql(begin)
            yield connection
            transaction.rollback()

    def insert_new(self, table: sa.Table) -> Any:
        """INSERT … ON CONFLICT DO NOTHING in this database's dialect."""
        if self.dialect == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as sqlite_insert

            return sqlite_insert(table).on_conflict_do_nothing()
        from sqlalchemy.dialects.postgresql import insert as postgres_insert

        return postgres_insert(table).on_conflict_do_nothing()

    def insert_missing(
        self, connection: Connection, table: sa.Table, key: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """Insert the rows that no unique column forbids; what stands in their column `key`.

        SQLite's driver runs one plain statement for all rows, at a fraction of what it costs to
        make one for so many rows and to be told which were inserted: that is done only where some
        were not.
        """
        if self.dialect == "sqlite":
            connection.exec_driver_sql("SAVEPOINT missing")
            done = connection.exec_driver_sql(_plain_insert(table), list(rows))
            if done.rowcount == len(rows):
                return [row[key] for row in rows]
            connection.exec_driver_sql("ROLLBACK TO missing")
        statement = self.insert_new(table).returning(table.c[key])
        return list(connection.execute(statement, rows).scalars())

    def lock(self, connection: Connection, name: str) -> None:
        """Hold a named lock until the transaction ends (SQLite's writer excludes others anyway)."""
        if self.dialect == "postgresql":
            connection.execute(
                sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
            )

    def ping(self) -> None:
        """Return if the database answers. Raises StoreError."""
        with self.read() as connection:
            connection.execute(sa.text("SELECT 1"))

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The driver's errors as a StoreError; our own pass."""
        try:
            yield
        except FreeholdError:
            raise
        except (OperationalError, InterfaceError) as error:
            raise StoreError(
                f"The database {self.where} refused or did not answer: {_reason(error)}.",
                hint="Check that it is running, reachable and has room; nothing was recorded.",
            ) from error
        except (DBAPIError, SQLAlchemyError) as error:
            raise StoreError(
                f"The database {self.where} refused the change: {_reason(error)}."
            ) from error
        except Exception as error:
            if not _of_driver(error):
                raise
            raise StoreError(
                f"The connection to the database {self.where} broke: {_reason(error)}.",
                hint="Check that it is running and reachable; nothing was recorded.",
            ) from error

    def _upgrade(self, *, create: bool) -> None:
        """Bring the schema to HEAD; Alembic is loaded only when there is something to do."""
        with self._translated():
            found = self._revision()
            if found == schema.HEAD:
                return
            if found is None and not create:
                raise StoreError(f"There is no Freehold database at {self.where}.")
            from freehold.store.migrate import upgrade

            upgrade(self._engine)

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.scalar(
                sa.text("SELECT version_num FROM alembic_version")
            )
            return found


@functools.cache
def _plain_insert(table: sa.Table) -> str:
    """For SQLite's driver: every column that is not numbered by itself."""
    names = [column.name for column in table.c if column.autoincrement is not True]
    values = ", ".join(f":{name}" for name in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608 - our own names


def _engine(url: str) -> Engine:
    """Errors hide what was to be written: the library logs some, and a log holds no answers."""
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as error:
        raise StoreError(
            "FREEHOLD_DATABASE_URL is not a database URL.",
            hint="Write postgresql://USER:PASSWORD@HOST:5432/NAME, or leave it empty for SQLite.",
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        engine = sa.create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=8,
            hide_parameters=True,
            connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
        )
        event.listen(engine, "connect", _configure_sqlite)
        return engine
    if backend == "postgresql":
        try:
            import pg8000  # noqa: F401 - only whether it is there
        except ImportError as error:
            raise MissingDependencyError("pg8000", "postgres", "PostgreSQL") from error
        options: dict[str, Any] = {"timeout": 10}
        socket = parsed.query.get("host")
        if isinstance(socket, str) and socket.startswith("/"):
            # libpq's way to name a folder with a Unix socket; this driver wants the socket itself.
            options["unix_sock"] = f"{socket}/.s.PGSQL.{parsed.port or 5432}"
            parsed = parsed.difference_update_query(["host"])
        parsed = parsed.set(drivername="postgresql+pg8000")
        return sa.create_engine(
            parsed, pool_pre_ping=True, pool_size=8, connect_args=options, hide_parameters=True
        )
    raise StoreError(
        f"{backend} is not a database that Freehold knows.", hint="Use PostgreSQL or SQLite."
    )


def _of_driver(error: Exception) -> bool:
    """Whether an error that the library has not wrapped was raised in the driver, and not by who
    uses the connection: pg8000's own where it is asked to connect, ping or roll back, and what the
    network raised below it."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] == "pg8000":
            return True
        trace = trace.tb_next
    return False


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """Durable before it is acknowledged: write-ahead log, synced at every commit."""
    connection.isolation_level = None  # we send BEGIN ourselves
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    _write_ahead(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Turn the write-ahead log on. Of two connections that change the mode of a new file together
    SQLite refuses one at once, whatever the busy timeout says; a moment later it finds it done."""
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _reason(error: BaseException) -> str:
    cause = getattr(error, "orig", None) or error
    arguments = getattr(cause, "args", ())
    if arguments and isinstance(arguments[0], dict):  # pg8000 gives the server's fields
        return str(arguments[0].get("M", arguments[0]))
    return str(cause).splitlines()[0].rstrip(".") if str(cause) else type(cause).__name__
