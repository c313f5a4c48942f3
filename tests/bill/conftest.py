"""Fixtures of the tests of billing."""

import pytest
from venture import Venture

from freehold.store.database import Database


@pytest.fixture
def venture(database: Database) -> Venture:
    """On SQLite, then on PostgreSQL."""
    return Venture(database)


@pytest.fixture
def shop(sqlite: Database) -> Venture:
    """On SQLite only."""
    return Venture(sqlite)
