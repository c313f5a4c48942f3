"""`freehold promote` by steps, `release` and `rollback`, by the command line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from freehold.app import open_app
from freehold.app.sell import add_customer
from freehold.cli.main import main
from freehold.project_file import load_project
from freehold.registry.counts import CanaryMinute, ShadowDay, record
from freehold.registry.rule import Figures
from freehold.testing import run_verb


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with three exported versions, the first of them live, and a customer."""
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "freehold.toml").write_text(
        '[project]\nname = "bank"\n[release]\nmin_answers = 50\n[[plans]]\nname = "starter"\n'
    )
    (files := tmp_path / "files").mkdir()
    (files / "model.onnx").write_text("x")
    with open_app(load_project(folder / "freehold.toml"), environ={}) as app:
        add_customer(app, "North Bank", "starter")
        for _ in range(3):
            version = app.registry.add(
                model="bank",
                task="text-classification",
                labels=("a", "b"),
                folder=files,
                lineage={"data": {}},
                metrics={},
                train_seconds=1.0,
                examples=1,
                train_cost=Decimal(0),
                label_cost=Decimal(0),
                currency="EUR",
            )
            app.registry.add_bundle(version, files, engine="e", precision="fp32", report={})
    run_verb(folder, "promote", "bank@1")
    return folder


def status(project: Path) -> dict[str, Any]:
    return run_verb(project, "release", "status", "bank")


def shown(project: Path, *words: str) -> str:
    runner = CliRunner(env={"COLUMNS": "200"})
    done = runner.invoke(main, [*words, "--project", str(project)])
    assert done.exit_code == 0, done.output
    return done.output


def test_step_by_step(project: Path) -> None:
    shadow = run_verb(project, "promote", "bank@2", "--shadow", "--reason", "it scores better")
    assert (shadow["stage"], shadow["against"]) == ("shadow", 1)
    begun = run_verb(
        project, "promote", "bank@2", "--canary", "12.5%", "--canary-customers", "North Bank",
        "--by", "key", "--max-error-rate", "0.1",
    )  # fmt: skip
    assert (begun["stage"], begun["share"], begun["by"]) == ("canary", 0.125, "key")
    assert len(begun["customers"]) == 1
    assert begun["rule"] == {
        "min_answers": 50,
        "max_error_rate": 0.1,
        "max_latency_factor": 2.0,
        "latency_quantile": 0.95,
    }
    assert "canary, 12.5 % by key and" in " ".join(shown(project, "models").split())
    assert run_verb(project, "promote", "bank@2")["stage"] == "live"
    assert run_verb(project, "rollback")["version"] == 1
    found = status(project)
    assert found["live"] == ["bank@1"]
    assert found["releases"] == []
    decisions = [(one["version"], one["reason"], one["detail"]) for one in found["decisions"]]
    assert decisions[:2] == [(1, "rollback", None), (2, "rollback", None)]
    assert (2, "shadow", "it scores better") in decisions
    assert (2, "canary", "12.5 % by key and 1 customer by name") in decisions


def test_a_rollback_says_what_it_took_back(project: Path) -> None:
    run_verb(project, "promote", "bank@2", "--canary", "0.1")
    assert "bank@2 is taken back; bank@1 answers all." in shown(project, "rollback")
    run_verb(project, "promote", "bank@2")
    assert "bank@1 is live again" in shown(project, "rollback", "bank")


def test_status_shows_agreement_errors_and_latencies(project: Path) -> None:
    canary = run_verb(project, "promote", "bank@2", "--canary", "50%")
    shadow = run_verb(project, "promote", "bank@3", "--shadow")
    minutes = []
    for version, seconds, errors in ((2, 0.02, 1), (1, 0.01, 0)):
        figures = Figures(errors=errors)
        for _ in range(99):
            figures.answers += 1
            figures.latencies.add(seconds)
        minutes.append(CanaryMinute(canary["id"], version, "2026-01-01T00:00", figures))
    day = ShadowDay(
        shadow["id"], "2026-01-01", "bank", 3, 1,
        runs=90, failed=10, inputs=100, tokens=900, compared=100, agreed=96.0,
        compute_us=200_000, live_compute_us=100_000,
    )  # fmt: skip
    with open_app(load_project(project / "freehold.toml"), environ={}) as app:
        record(app.database, "srv", minutes, [day])
    one, other = status(project)["releases"]
    assert (one["canary"]["answers"], one["canary"]["errors"]) == (99, 1)
    assert one["canary"]["error_interval"][0] < 0.01 < one["canary"]["error_interval"][1]
    assert one["canary"]["slow_ms"] == pytest.approx(20, rel=0.06)
    assert one["live"]["p50_ms"] == pytest.approx(10, rel=0.06)
    assert other["shadow"]["agreement"] == 0.96
    assert other["shadow"]["interval"] == pytest.approx([0.9016, 0.9843], abs=1e-3)
    assert (other["shadow"]["ms_per_input"], other["shadow"]["live_ms_per_input"]) == (2.0, 1.0)
    text = " ".join(shown(project, "release", "status").split())
    assert "96.00% of 100 answers agree (90.16% to 98.43%); 10 of 100 runs failed" in text
    assert "bank@2: canary, 50 % by customer" in text
    report = run_verb(project, "report")
    assert report["shadow"].startswith("0.0000055")  # 0.2 seconds at 0.10 an hour
    assert float(report["operating_result"]) < 0


def test_versions_are_kept_loaded_and_let_go(project: Path) -> None:
    assert run_verb(project, "release", "load", "bank@3")["loaded"] is True
    assert [one["kind"] for one in status(project)["releases"]] == ["kept"]
    assert "bank@3 is kept loaded" in shown(project, "release", "status")
    assert run_verb(project, "release", "unload", "bank@3")["loaded"] is False
    refused = run_verb(project, "release", "unload", "bank@3", code=1)
    assert refused["error"] == "bank@3 is not kept; it is candidate."
    run_verb(project, "promote", "bank@3", "--shadow")
    assert run_verb(project, "release", "stop", "bank@3")["stage"] == "candidate"


@pytest.mark.parametrize("share", ["10", "0", "100%", "1", "ten", "0.00001", "-5%", "%", "1.2.3%"])
def test_what_is_no_share(project: Path, share: str) -> None:
    refused = run_verb(project, "promote", "bank@2", f"--canary={share}", code=1)
    assert refused["error"] == f"{share!r} is not a share of the traffic."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shadow", "--canary", "1%"), "exclude each other"),
        (("--by", "key"), "--by goes with --canary"),
        (("--shadow", "--min-answers", "50"), "--min-answers goes with --canary"),
        (("--canary-customers", " , "), "names nobody"),
    ],
)
def test_options_that_do_not_go_together(project: Path, words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(main, ["promote", "bank@2", *words, "--project", str(project)])
    assert done.exit_code == 2
    assert said in done.output


def test_an_unknown_customer_begins_nothing(project: Path) -> None:
    refused = run_verb(
        project, "promote", "bank@2", "--canary-customers", "North Bank,Nobody", code=1
    )
    assert "Nobody" in refused["error"]
    assert status(project)["releases"] == []
