"""Versions, stages and their files, on SQLite and PostgreSQL."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from freehold.clock import ManualClock
from freehold.errors import ConflictError, InputError, IntegrityError, NotFoundError
from freehold.registry import Registry, Version
from freehold.store.database import Database


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    return Registry(database, tmp_path / "state", ManualClock())


def _add(registry: Registry, tmp_path: Path, text: str = "weights", **changes: Any) -> Version:
    folder = tmp_path / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_text(text)
    given: dict[str, Any] = {
        "model": "bank",
        "task": "text-classification",
        "labels": ("no", "yes"),
        "folder": folder,
        "lineage": {"base": "minilm", "seed": 0, "data": {"train": {"sha256": "0" * 64}}},
        "metrics": {"accuracy": 0.91, "temperature": 1.25},
        "train_seconds": 61.5,
        "examples": 600,
        "train_cost": Decimal("0.0017083333"),
        "label_cost": Decimal("24.00"),
        "currency": "EUR",
    }
    return registry.add(**{**given, **changes})


def _exported(registry: Registry, tmp_path: Path, text: str) -> Version:
    version = _add(registry, tmp_path, text)
    bundle = tmp_path / "bundle"
    bundle.mkdir(exist_ok=True)
    (bundle / "model.onnx").write_text(f"onnx of {text}")
    registry.add_bundle(version, bundle, engine="onnxruntime", precision="fp32", report={"n": 1})
    return version


def test_versions_count_up_and_keep_everything(registry: Registry, tmp_path: Path) -> None:
    first = _add(registry, tmp_path)
    second = _add(registry, tmp_path, "other weights")
    other = _add(registry, tmp_path, model="shop")
    assert [v.name for v in registry.all()] == ["bank@1", "bank@2", "shop@1"]
    assert (second.version, other.version) == (2, 1)
    assert registry.get("bank@1") == first
    assert first.stage == "candidate"
    assert first.train_cost == Decimal("0.0017083333")
    assert first.temperature == 1.25
    assert first.train_seconds == 61.5


def test_a_checkpoint_comes_back_verified(registry: Registry, tmp_path: Path) -> None:
    version = _add(registry, tmp_path)
    folder = registry.checkpoint(version)
    assert (folder / "model.safetensors").read_text() == "weights"
    blob = next(p for p in (tmp_path / "state" / "blobs").rglob("*") if p.is_file())
    blob.chmod(0o644)
    blob.write_text("WEIGHTS")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        registry.checkpoint(version)


def test_a_version_without_a_bundle_cannot_go_live(registry: Registry, tmp_path: Path) -> None:
    _add(registry, tmp_path)
    with pytest.raises(NotFoundError, match="has not been exported"):
        registry.promote("bank@1")
    assert registry.live() == []


def test_promote_retires_the_former_and_rollback_goes_back(
    registry: Registry, tmp_path: Path
) -> None:
    for text in ("one", "two", "three"):
        _exported(registry, tmp_path, text)
    stages = lambda: [v.stage for v in registry.all()]  # noqa: E731 - short and local
    assert registry.promote("bank@1").stage == "live"
    assert registry.promote("bank@1").stage == "live"
    registry.promote("bank")  # the newest
    assert stages() == ["retired", "candidate", "live"]
    assert registry.rollback("bank").name == "bank@1"
    assert stages() == ["live", "candidate", "retired"]
    with pytest.raises(ConflictError, match="no earlier live version"):
        registry.rollback("bank")
    registry.promote("bank@2")
    assert registry.rollback("bank").name == "bank@1"


def test_the_live_version_is_the_one_that_a_bare_name_means(
    registry: Registry, tmp_path: Path
) -> None:
    _exported(registry, tmp_path, "one")
    _exported(registry, tmp_path, "two")
    assert registry.get("bank").name == "bank@2"
    registry.promote("bank@1")
    assert registry.get("bank").name == "bank@1"
    assert registry.newest("bank").name == "bank@2"


def test_the_newest_bundle_serves(registry: Registry, tmp_path: Path) -> None:
    version = _exported(registry, tmp_path, "one")
    assert (registry.bundle_folder(version) / "model.onnx").read_text() == "onnx of one"
    (tmp_path / "bundle" / "model.onnx").write_text("again")
    registry.add_bundle(version, tmp_path / "bundle", engine="e", precision="int8", report={})
    assert registry.bundle(version).precision == "int8"
    assert (registry.bundle_folder(version) / "model.onnx").read_text() == "again"


def test_unknown_names_say_what_there_is(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="models: none yet"):
        registry.get("bank")
    _add(registry, tmp_path)
    with pytest.raises(NotFoundError, match="models: bank"):
        registry.get("tank")
    with pytest.raises(NotFoundError, match="versions 1 to 1, not 7"):
        registry.get("bank@7")
    with pytest.raises(InputError, match="does not name a model"):
        registry.get("bank@x")
