"""Versions come and go while requests run: none is dropped, and the books come out even."""

from __future__ import annotations

import gc
import itertools
import signal
import subprocess
import sys
import threading
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from releasing import EngineClock, Venture, VersionEngine, first
from serving import LABELS, client, rows
from serving import until as within

from freehold.app.release import progress
from freehold.app.sell import margins, reconciliation
from freehold.registry import Rule, Terms
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database

BANK = "/models/bank"
until = partial(within, seconds=60.0)  # other servers' traffic may be slow on a busy machine


@pytest.fixture
def venture(sqlite: Database, tmp_path: Path) -> Venture:
    return Venture(sqlite, tmp_path)


class Traffic:
    """Customers who ask without a pause, a thread each; every answer is counted by its version."""

    def __init__(self, server: ServerThread, keys: dict[str, str]) -> None:
        self.answers: dict[str, Counter[str]] = {name: Counter() for name in keys}
        self.refused: list[str] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(server, name, key))
            for name, key in keys.items()
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, server: ServerThread, name: str, key: str) -> None:
        with client(server, key) as http:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                response = http.post(BANK, json={"inputs": f"text {number} of {name}"})
                if response.status_code == 200:
                    self.answers[name][first(response)] += 1
                else:
                    self.refused.append(response.text)

    def so_far(self) -> Counter[str]:
        return sum((Counter(counts) for counts in self.answers.values()), Counter())

    def goes_on(self, version: str, more: int = 20) -> None:
        """Wait for so many more answers of a version."""
        before = self.so_far()[version]
        until(lambda: self.so_far()[version] >= before + more)


def only(traffic: Traffic, version: str) -> None:
    """Wait until no other version answers any more."""

    def quiet() -> bool:
        before = traffic.so_far()
        traffic.goes_on(version)
        changed = traffic.so_far() - before
        return set(changed) == {version}

    until(quiet)


def even(venture: Venture) -> None:
    result = reconciliation(venture.app)
    assert result.difference == 0, result.document()
    assert result.served > 0


def test_promoted_canaried_rolled_back_and_unloaded_under_traffic(venture: Venture) -> None:
    live = VersionEngine(1)
    venture.add(live)
    for number in (2, 3):
        venture.add(VersionEngine(number))
    names = [venture.customer(name) for name in ("North", "South", "East")]
    registry = venture.registry
    registry.promote("bank@1")
    with venture.serving() as server, Traffic(server, venture.keys) as traffic:
        traffic.goes_on("v1")
        registry.promote("bank@2")
        only(traffic, "v2")
        registry.canary("bank@3", Terms(customers=(names[0],)))
        traffic.goes_on("v3")
        until(lambda: server._service.releases.table.named["bank"].canary)
        counts = Counter(traffic.answers[names[1]])
        traffic.goes_on("v3")
        assert set(traffic.answers[names[1]] - counts) <= {"v2"}
        assert registry.rollback("bank").name == "bank@2"  # the canary goes
        only(traffic, "v2")
        registry.rollback("bank")  # and now the live version
        only(traffic, "v1")
        registry.stages.keep(registry.get("bank@2"))
        key = venture.keys[names[0]]
        with client(server, key) as http:
            until(lambda: http.post("/models/bank@2", json={"inputs": "a"}).status_code == 200)
            registry.stages.stop(registry.get("bank@2"), ("kept",))
            until(lambda: http.post("/models/bank@2", json={"inputs": "a"}).status_code == 404)
        traffic.goes_on("v1")
    assert traffic.refused == []
    even(venture)


def test_a_version_in_the_path_is_exactly_that_one(venture: Venture) -> None:
    for number in (1, 2):
        venture.add(VersionEngine(number))
    venture.registry.promote("bank@1")
    who = venture.customer("North")
    venture.registry.canary("bank@2", Terms(customers=(who,)))
    with venture.serving() as server, client(server, venture.keys[who]) as http:
        assert first(http.post(BANK, json={"inputs": "a"})) == "v2"
        assert first(http.post("/models/bank@1", json={"inputs": "a"})) == "v1"
        assert first(http.post("/models/bank@2", json={"inputs": "a"})) == "v2"
        missing = http.post("/models/bank@3", json={"inputs": "a"})
        assert missing.status_code == 404
        assert "bank, bank@1, bank@2" in missing.json()["error"]
        listed = http.get("/models").json()
        assert [model["version"] for model in listed["models"]] == [1]
        assert listed["versions"] == [
            {"name": "bank@1", "stages": ["live"]},
            {"name": "bank@2", "stages": ["canary"]},
        ]


def test_a_bundle_that_does_not_open_leaves_the_old_one_serving(
    venture: Venture, caplog: pytest.LogCaptureFixture
) -> None:
    venture.add(VersionEngine(1))
    broken = venture.add()
    venture.registry.promote("bank@1")
    who = venture.customer("North")
    with venture.serving() as server, client(server, venture.keys[who]) as http:
        venture.registry.promote(broken.name)
        until(lambda: http.get("/models").json()["troubles"])
        (trouble,) = http.get("/models").json()["troubles"]
        assert trouble["name"] == "bank@2"
        assert "could not be opened" in trouble["trouble"]
        assert first(http.post(BANK, json={"inputs": "a"})) == "v1"
        assert first(http.post("/models/bank@1", json={"inputs": "a"})) == "v1"
        metrics = http.get("/metrics").text
        assert 'freehold_load_failed{model="bank",version="2"} 1.0' in metrics
        assert 'freehold_loaded{model="bank",stage="live",version="1"} 1.0' in metrics
        assert "bank@2 is not the file that was exported." in caplog.text
        # Exported anew, it is another bundle, and is tried at once.
        venture.makers["bank@2"] = lambda: VersionEngine(2)
        files = venture.folder / "files"
        venture.registry.add_bundle(broken, files, engine="e", precision="fp32", report={})
        until(lambda: first(http.post(BANK, json={"inputs": "a"})) == "v2")
        assert http.get("/models").json()["troubles"] == []
        assert "freehold_load_failed{" not in http.get("/metrics").text
    even(venture)


def test_a_corrupt_file_is_found_by_the_real_source(venture: Venture) -> None:
    from freehold.app.follow import ProjectSource

    venture.add(VersionEngine(1))
    version = venture.add()
    venture.registry.promote("bank@1")
    who = venture.customer("North")

    class Half(ProjectSource):
        def open(self, wanted: Any) -> Any:
            return VersionEngine(1) if wanted.version == 1 else super().open(wanted)

    source: Any = Half(venture.app, None)
    with venture.serving(source=source) as server, client(server, venture.keys[who]) as http:
        venture.registry.canary(version.name, Terms(customers=(who,)))
        until(lambda: http.get("/models").json()["troubles"])
        assert first(http.post(BANK, json={"inputs": "a"})) == "v1"


def test_an_old_engine_goes_when_its_last_request_is_answered(venture: Venture) -> None:
    held = threading.Event()
    old = VersionEngine(1, hold=held)
    venture.add(old)
    venture.add(VersionEngine(2))
    venture.registry.promote("bank@1")
    who = venture.customer("North")
    venture.makers["bank@1"] = lambda found=[old]: found.pop()  # nobody else keeps it
    gone = weakref.ref(old)
    del old
    with venture.serving() as server, client(server, venture.keys[who]) as http:
        answers: list[httpx.Response] = []
        asking = threading.Thread(
            target=lambda: answers.append(http.post(BANK, json={"inputs": "a"}))
        )
        asking.start()
        until(lambda: gone() is not None and gone().ran)  # type: ignore[union-attr]
        venture.registry.promote("bank@2")
        until(lambda: server._service.named["bank"].meta.version == 2)
        assert gone() is not None
        held.set()
        asking.join()
        assert first(answers[0]) == "v1"
        assert first(http.post(BANK, json={"inputs": "a"})) == "v2"
        until(lambda: gc.collect() is not None and gone() is None)


def test_what_a_canary_fails_is_answered_by_the_live_version(venture: Venture) -> None:
    venture.add(VersionEngine(1))
    venture.add(VersionEngine(2, fails=lambda: True))
    names = [venture.customer(name) for name in ("North", "South")]
    venture.registry.promote("bank@1")
    with venture.serving() as server, Traffic(server, venture.keys) as traffic:
        trial = venture.registry.canary("bank@2", Terms(customers=(names[0],)))
        stages = venture.registry.stages
        until(lambda: not stages.trials("bank"))
        traffic.goes_on("v1")
        ended = stages.trial(trial.id)
        with client(server, venture.keys[names[0]]) as http:
            exact = http.post("/models/bank@2", json={"inputs": "a"})
    assert traffic.refused == []
    assert set(traffic.so_far()) == {"v1"}
    assert ended.outcome == "auto-rollback"
    assert venture.registry.get("bank@2").stage == "retired"
    (change,) = stages.changes("bank", limit=1)
    assert (change.reason, change.from_stage) == ("auto-rollback", "canary")
    assert change.detail is not None
    assert change.detail.startswith("errors 100.0% against 0.0% of live over ")
    assert exact.status_code in (404, 500)  # who asks for that very version is told
    even(venture)


def test_a_slow_canary_is_taken_back(venture: Venture) -> None:
    clock = EngineClock()
    venture.add(VersionEngine(1, seconds=0.001, clock=clock))
    venture.add(VersionEngine(2, seconds=0.02, clock=clock))
    names = [venture.customer(name) for name in ("North", "South", "East")]
    venture.registry.promote("bank@1")
    with venture.serving(clock=clock) as server, Traffic(server, venture.keys) as traffic:
        rule = Rule(min_answers=50, max_latency_factor=3.0)
        venture.registry.canary("bank@2", Terms(customers=(names[0],), rule=rule))
        until(lambda: not venture.registry.stages.trials("bank"))
        only(traffic, "v1")
    assert traffic.refused == []
    (change,) = venture.registry.stages.changes("bank", limit=1)
    assert change.reason == "auto-rollback"
    assert " against " in (change.detail or "")
    even(venture)


def test_two_servers_follow_the_same_decisions_and_one_takes_the_canary_back(
    venture: Venture,
) -> None:
    venture.add(VersionEngine(1))
    venture.add(VersionEngine(2, fails=lambda: True))
    who = venture.customer("North")
    venture.customer("South")
    venture.registry.promote("bank@1")
    venture.registry.canary("bank@2", Terms(customers=(who,)))
    with (
        venture.serving(server="one") as one,
        venture.serving(server="two") as two,
        Traffic(one, venture.keys) as first_traffic,
        Traffic(two, venture.keys) as second_traffic,
    ):
        until(lambda: not venture.registry.stages.trials("bank"))
        for traffic, server in ((first_traffic, one), (second_traffic, two)):
            until(lambda server=server: not server._service.releases.table.named["bank"].canary)
            traffic.goes_on("v1")
    assert first_traffic.refused == second_traffic.refused == []
    reasons = [change.reason for change in venture.registry.stages.changes("bank")]
    assert reasons.count("auto-rollback") == 1
    servers = {row.server for row in rows(venture.app.database, schema.canary_counts)}
    assert len(servers) == 2
    even(venture)


def test_a_shadow_is_compared_counted_and_neither_returned_nor_billed(venture: Venture) -> None:
    venture.add(VersionEngine(1))
    clock = EngineClock()
    shadow = VersionEngine(
        2, other=0.25, seconds=0.001, clock=clock, labels=("new", *reversed(LABELS))
    )
    venture.add(shadow)
    for name in ("North", "South"):
        venture.customer(name)
    venture.registry.promote("bank@1")
    trial = venture.registry.shadow("bank@2", Terms(share=10_000))
    with venture.serving(clock=clock) as server, Traffic(server, venture.keys) as traffic:
        until(lambda: len(shadow.ran) >= 200)
    assert traffic.refused == []
    assert set(traffic.so_far()) == {"v1"}
    assert {event.version for event in rows(venture.app.database, schema.usage_events)} == {1}
    (one,), _ = progress(venture.app, "bank")
    agreed = one.agreement()
    assert agreed is not None
    compared, share, low, high = agreed
    assert compared == len(shadow.ran)
    assert share == pytest.approx(sum(map(shadow.agrees, shadow.ran)) / compared)
    assert 0.5 < share < 0.95
    assert low < share < high
    (day,) = one.days
    assert (day.release_id, day.model, day.version, day.against) == (trial.id, "bank", 2, 1)
    assert day.inputs == len(shadow.ran)
    assert day.compute_us == 1000 * day.runs
    document = margins(venture.app).document()
    assert float(document["shadow"]) > 0
    even(venture)


def test_a_shadow_that_fails_harms_nobody(venture: Venture) -> None:
    venture.add(VersionEngine(1))
    venture.add(VersionEngine(2, fails=lambda: True))
    who = venture.customer("North")
    venture.registry.promote("bank@1")
    venture.registry.shadow("bank@2", Terms(share=10_000))
    with venture.serving() as server, client(server, venture.keys[who]) as http:
        for number in range(10):
            assert first(http.post(BANK, json={"inputs": f"text {number}"})) == "v1"
        stages = venture.app
        until(lambda: sum(day.failed for day in progress(stages, "bank")[0][0].days) == 10)
    even(venture)


def test_a_sighup_is_heard_at_once(sqlite: Database, tmp_path: Path) -> None:
    venture = Venture(sqlite, tmp_path)
    for number in (1, 2):
        venture.add(VersionEngine(number))
    who = venture.customer("North")
    venture.registry.promote("bank@1")
    script = Path(__file__).with_name("releases_process.py")
    command = [sys.executable, str(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            headers = {"Authorization": f"Bearer {venture.keys[who]}"}
            with httpx.Client(base_url=url, headers=headers, trust_env=False) as http:
                assert first(http.post(BANK, json={"inputs": "a"})) == "v1"
                venture.registry.promote("bank@2")
                process.send_signal(signal.SIGHUP)
                until(lambda: first(http.post(BANK, json={"inputs": "a"})) == "v2")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
