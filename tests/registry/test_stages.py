"""Shadows and canaries as stages: what becomes of each version, and what is written down."""

from __future__ import annotations

import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from freehold.clock import ManualClock
from freehold.errors import ConflictError, NotFoundError
from freehold.registry import Registry, Rule, Terms, Trial, Version
from freehold.registry.counts import CanaryMinute, ShadowDay, judged, record, shadow_days, total
from freehold.registry.rule import Figures
from freehold.registry.spread import Spread
from freehold.registry.wanted import wanted
from freehold.store.database import Database

TEN = Terms(share=1000)


@pytest.fixture
def registry(database: Database, tmp_path: Path) -> Registry:
    made = Registry(database, tmp_path / "state", ManualClock())
    for number in range(4):
        exported(made, tmp_path, str(number))
    made.promote("bank@1")
    return made


def exported(registry: Registry, folder: Path, text: str, **changes: Any) -> Version:
    files = folder / "files"
    files.mkdir(exist_ok=True)
    (files / "model.safetensors").write_text(text)
    given: dict[str, Any] = {
        "model": "bank",
        "task": "text-classification",
        "labels": ("no", "yes"),
        "folder": files,
        "lineage": {"data": {}},
        "metrics": {},
        "train_seconds": 1.0,
        "examples": 1,
        "train_cost": Decimal(0),
        "label_cost": Decimal(0),
        "currency": "EUR",
    }
    version = registry.add(**{**given, **changes})
    registry.add_bundle(version, files, engine="onnxruntime", precision="fp32", report={})
    return version


def stages(registry: Registry) -> list[str]:
    return [version.stage for version in registry.all()]


def told(registry: Registry) -> list[tuple[int, str, str, str]]:
    """The decisions but the first, in their order."""
    changes = registry.stages.changes("bank")[::-1][1:]
    return [(c.version, c.from_stage, c.to_stage, c.reason) for c in changes]


def test_from_shadow_to_canary_to_live(registry: Registry) -> None:
    shadow = registry.shadow("bank@2", Terms(share=10_000))
    assert (shadow.kind, shadow.against) == ("shadow", 1)
    assert stages(registry) == ["live", "shadow", "candidate", "candidate"]
    registry.canary("bank@2", TEN)
    assert [trial.kind for trial in registry.stages.trials("bank")] == ["canary"]
    wider = registry.canary("bank@2", Terms(share=5000, customers=("cus_1",), sticky="key"))
    assert registry.stages.trials() == [wider]
    assert wider.terms.sentence() == "50 % by key and 1 customer by name"
    assert registry.promote("bank@2", "it agrees").stage == "live"
    assert registry.stages.trials() == []
    assert stages(registry) == ["retired", "live", "candidate", "candidate"]
    assert told(registry) == [
        (2, "candidate", "shadow", "shadow"),
        (2, "shadow", "canary", "canary"),
        (2, "canary", "canary", "canary"),
        (1, "live", "retired", "promote"),
        (2, "canary", "live", "promote"),
    ]
    assert registry.stages.changes("bank", limit=1)[0].detail == "it agrees"
    assert registry.stages.trial(wider.id).outcome == "promote"


def test_a_rollback_takes_the_canary_first_and_then_the_live_version(registry: Registry) -> None:
    registry.promote("bank@2")
    registry.canary("bank@3", TEN)
    registry.shadow("bank@4", TEN)
    assert registry.rollback("bank").name == "bank@2"
    assert stages(registry) == ["retired", "live", "retired", "shadow"]
    assert registry.rollback("bank").name == "bank@1"  # and the shadow of another version ends
    assert stages(registry) == ["live", "retired", "retired", "candidate"]
    assert registry.stages.trials() == []
    with pytest.raises(ConflictError, match="no earlier live version"):
        registry.rollback("bank")


def test_one_shadow_and_one_canary_at_a_time(registry: Registry) -> None:
    first = registry.canary("bank@2", TEN)
    registry.shadow("bank@3", TEN)
    registry.canary("bank@4", TEN)
    assert [t.name for t in registry.stages.trials()] == ["bank@3", "bank@4"]
    assert stages(registry) == ["live", "retired", "shadow", "canary"]
    assert registry.stages.trial(first.id).outcome == "replaced"
    registry.promote("bank@1")  # it is live: nothing changes
    assert stages(registry) == ["live", "retired", "shadow", "canary"]


def test_what_cannot_be_tried(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="bank@1 is live"):
        registry.canary("bank@1", TEN)
    exported(registry, tmp_path, "new", model="shop")
    with pytest.raises(ConflictError, match="shop has no live version"):
        registry.canary("shop@1", TEN)
    exported(registry, tmp_path, "tags", task="token-classification")
    with pytest.raises(ConflictError, match="another shape"):
        registry.shadow("bank@5", TEN)
    with pytest.raises(ConflictError, match=r"bank@2 is not shadow or canary; it is candidate"):
        registry.stages.stop(registry.get("bank@2"), ("shadow", "canary"))
    with pytest.raises(NotFoundError, match="no release 99"):
        registry.stages.trial(99)


def test_a_version_may_be_kept_whatever_its_stage(registry: Registry, database: Database) -> None:
    two = registry.get("bank@2")
    kept = registry.stages.keep(two)
    assert registry.stages.keep(two) == kept
    registry.promote("bank@2")
    registry.promote("bank@3")
    assert registry.stages.trials() == [kept]
    with database.read() as connection:
        found = [(item.name, item.stage) for item in wanted(connection)]
    assert found == [("bank@3", "live"), ("bank@2", "kept")]
    assert registry.stages.stop(two, ("kept",))[0].version == 2
    with database.read() as connection:
        assert [item.name for item in wanted(connection)] == ["bank@3"]
    assert stages(registry) == ["retired", "retired", "live", "candidate"]


def test_one_of_many_takes_a_canary_back(registry: Registry) -> None:
    trial = registry.canary("bank@2", TEN)
    won: list[bool] = []
    ready = threading.Barrier(4)

    def withdraw(number: int) -> None:
        ready.wait()
        won.append(registry.stages.withdraw(trial, f"server {number} says so"))

    threads = [threading.Thread(target=withdraw, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False, False, False, True]
    assert told(registry)[1:] == [(2, "canary", "retired", "auto-rollback")]
    assert registry.stages.withdraw(trial, "late") is False


def minute(trial: Trial, version: int, at: str, answers: int, errors: int = 0) -> CanaryMinute:
    figures = Figures(answers, errors)
    for _ in range(answers):
        figures.latencies.add(0.001 * version)
        figures.batches.setdefault(5, Spread()).add(0.002)
    return CanaryMinute(trial.id, version, at, figures)


def test_counts_of_servers_add_up_and_may_be_written_twice(
    registry: Registry, database: Database
) -> None:
    trial = registry.canary("bank@2", TEN)
    early, late = "2026-01-01T00:00", "2026-01-01T00:01"
    for _ in range(2):
        record(database, "a", [minute(trial, 2, early, 5, 1), minute(trial, 1, early, 50)], [])
        record(database, "b", [minute(trial, 2, late, 3), minute(trial, 1, late, 30)], [])
    record(database, "b", [minute(trial, 2, late, 4)], [])
    with database.read() as connection:
        did = total(connection, trial.id)
        assert (did[2].answers, did[2].errors, did[1].answers) == (9, 1, 80)
        assert len(did[2].latencies) == 9
        assert len(did[1].batches[5]) == 80
        # The newest minutes that hold enough of both: here the last one, then all.
        canary, live = judged(connection, trial.id, 2, 1, 4)
        assert (canary.requests, live.requests) == (4, 30)
        canary, live = judged(connection, trial.id, 2, 1, 5)
        assert (canary.requests, live.requests) == (10, 80)


def test_days_of_a_shadow_add_up(registry: Registry, database: Database) -> None:
    trial = registry.shadow("bank@2", Terms(share=10_000))
    day = ShadowDay(trial.id, "2026-01-31", "bank", 2, 1, 1, 2, 3, 4, 5, 4.25, 7, 8)
    for server in ("a", "b", "b"):
        record(database, server, [], [day])
    with database.read() as connection:
        (found,) = shadow_days(connection)
        assert found == ShadowDay(trial.id, "2026-01-31", "bank", 2, 1, 2, 4, 6, 8, 10, 8.5, 14, 16)
        assert shadow_days(connection, start="2026-02-01") == []
        assert shadow_days(connection, end="2026-01-31") == []
        assert shadow_days(connection, release_id=trial.id + 1) == []


def test_the_rule_is_kept_as_it_was(registry: Registry) -> None:
    rule = Rule(min_answers=99, max_error_rate=0.5, max_latency_factor=7.0, latency_quantile=0.9)
    trial = registry.canary("bank@2", Terms(share=1, rule=rule))
    assert registry.stages.trial(trial.id).terms.rule == rule
    assert trial.document()["share"] == 0.0001
