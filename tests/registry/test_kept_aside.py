"""Files that belong to a version and not to its weights: kept, replaced, read, never loaded."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from freehold.clock import ManualClock
from freehold.errors import IntegrityError
from freehold.registry import ASIDE, Registry, Version
from freehold.store.database import Database

NAME = f"{ASIDE}README.md"


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "state", ManualClock())


@pytest.fixture
def version(registry: Registry, tmp_path: Path) -> Version:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "model.safetensors").write_text("weights")
    return registry.add(
        model="bank",
        task="text-classification",
        labels=("no", "yes"),
        folder=folder,
        lineage={},
        metrics={},
        train_seconds=1.0,
        examples=2,
        train_cost=Decimal(0),
        label_cost=Decimal(0),
        currency="EUR",
    )


def test_what_is_kept_is_read_and_is_not_in_the_checkpoint(
    registry: Registry, version: Version
) -> None:
    assert registry.read(version, NAME) is None
    with_card = registry.keep(version, NAME, b"# bank@1")
    assert registry.read(with_card, NAME) == b"# bank@1"
    assert registry.get("bank@1") == with_card
    assert set(with_card.files) == {"model.safetensors", NAME}
    folder = registry.checkpoint(with_card)
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]
    assert registry.checkpoint(version) == folder


def test_the_last_one_of_a_name_stays(registry: Registry, version: Version) -> None:
    registry.keep(version, NAME, b"old")
    # `version` does not know of the first: what is stored is what counts.
    last = registry.keep(version, f"{ASIDE}notes.txt", b"notes")
    last = registry.keep(last, NAME, b"new")
    assert registry.read(last, NAME) == b"new"
    assert registry.read(last, f"{ASIDE}notes.txt") == b"notes"


def test_a_changed_file_is_refused(registry: Registry, version: Version, tmp_path: Path) -> None:
    kept = registry.keep(version, NAME, b"# bank@1")
    sha256 = kept.files[NAME].sha256
    blob = tmp_path / "state" / "blobs" / sha256[:2] / sha256
    blob.chmod(0o644)
    blob.write_text("# other")
    with pytest.raises(IntegrityError, match=r"README\.md"):
        registry.read(kept, NAME)
