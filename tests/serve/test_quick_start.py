"""What README and docs show of each client runs as it stands, but for address and key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import tiny_bundle
from serving import DatabaseGate, add_customer, rows, serving

from freehold.serve.engine import Engine
from freehold.serve.keys import KeyRing
from freehold.store import schema
from freehold.store.database import Database

ROOT = Path(__file__).parents[2]
SHOWN = [
    (page, block)
    for page in ("README.md", "docs/serve.md", "docs/contracts.md")
    for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    if "localhost:8080" in block
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> list[Engine]:
    folder = tmp_path_factory.mktemp("bundles")
    tasks = {"bank": "text-classification", "search": "sentence-embedding"}
    paths = [tiny_bundle(task, folder / name, model=name) for name, task in tasks.items()]
    return [Engine.open(path, threads=1) for path in paths]


@pytest.fixture
def served(engines: list[Engine], sqlite: Database) -> Iterator[tuple[str, str]]:
    key = add_customer(sqlite)
    with serving(DatabaseGate(sqlite, KeyRing(sqlite)), *engines) as server:
        yield server.url.removeprefix("http://"), key


def test_each_client_is_shown() -> None:
    shown = "".join(block for page, block in SHOWN if page == "README.md")
    for client in ("huggingface_hub", "openai", "tritonclient"):
        assert client in shown


@pytest.mark.parametrize(("page", "block"), SHOWN)
def test_it_runs_and_is_metered(
    page: str, block: str, served: tuple[str, str], sqlite: Database
) -> None:
    address, key = served
    names: dict[str, object] = {}
    exec(block.replace("localhost:8080", address).replace("fh_…", key), names)
    names["client"].__exit__(None, None, None)  # type: ignore[attr-defined]
    assert len(rows(sqlite, schema.usage_events)) == 1
