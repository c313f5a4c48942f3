"""Fixtures of the tests of economics: the venture of the tests of billing, with versions."""

import sys
from pathlib import Path

import pytest

from freehold.store.database import Database

# The helper lies with the tests of billing, which have the same kind of venture.
sys.path.append(str(Path(__file__).parents[1] / "bill"))

from venture import Venture


@pytest.fixture
def venture(database: Database) -> Venture:
    """On SQLite, then on PostgreSQL."""
    return Venture(database)


@pytest.fixture
def shop(sqlite: Database) -> Venture:
    """On SQLite only."""
    return Venture(sqlite)
