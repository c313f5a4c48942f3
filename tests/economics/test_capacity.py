"""How many machines, and what they cost; docs/scale.md's table is what comes out of the results."""

from __future__ import annotations

import importlib
from decimal import Decimal
from pathlib import Path

import click
import pytest

from freehold.app import open_app
from freehold.economics import capacity as module
from freehold.economics.capacity import Traffic, capacity
from freehold.economics.figures import shown
from freehold.project_file import load_project
from freehold.registry import Registry
from freehold.testing import run_verb

ROOT = Path(__file__).resolve().parents[2]


def found(traffic: Traffic, measured: float = 100.0, **given: float) -> module.Capacity:
    return capacity(
        traffic,
        version="bank@1",
        engine="onnxruntime int8",
        measured=measured,
        machine_per_hour=Decimal("0.10"),
        currency="EUR",
        **given,
    )


def test_machines_are_for_the_busiest_hour() -> None:
    evenly = Traffic(86_400, inputs_per_request=30, peak=1)
    assert evenly.inputs_per_second == 30
    assert found(evenly, share=0.5, busy=0.6).machines == 1
    assert found(Traffic(86_400, 30, peak=1.1), share=0.5, busy=0.6).machines == 2
    assert found(Traffic(86_400, 30, peak=4), share=0.5, busy=0.6).machines == 4
    assert found(Traffic(1)).machines == 1


def test_costs_are_of_the_machines_that_are_needed() -> None:
    two = found(Traffic(86_400, 30, peak=2), share=0.5, busy=0.6)
    assert two.machines == 2
    assert two.per_month == Decimal("146.1")
    # 2 x 0.10 an hour for 30 x 3,600 inputs an hour, of which there could be twice as many.
    assert shown(two.per_1000, "EUR") == "0.00185"
    assert two.per_1000_at_best * 2 == two.per_1000


def test_the_table_is_worked_out_from_the_measured_figures() -> None:
    results = (ROOT / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(("| banking77", "| conll2003"))
    ]
    assert len(rows) == 4
    for name, measured, *worked_out in rows:
        data, precision = name.split(", ")
        table = results.partition("## Export")[2]
        line = next(
            one
            for one in table.splitlines()
            if one.startswith(f"| {data} |") and precision in one.split("|")[2]
        )
        assert line.split("|")[5].strip() == measured
        one = found(Traffic(1), float(measured.replace(",", "")))
        a_day = one.planned * 86_400 / module.PEAK
        a_month = a_day * float(module.HOURS) / 24
        assert worked_out == [
            f"{one.served:.0f}",
            f"{one.planned:.0f}",
            f"{a_day:,.0f}",
            f"{a_month / 1e6:.0f} million",
            shown(one.per_month * 1000 / Decimal(a_month), "EUR"),
            shown(one.per_1000_at_best, "EUR"),
        ]


def test_the_verb_takes_what_the_export_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FREEHOLD_DATABASE_URL", raising=False)
    (tmp_path / "freehold.toml").write_text(
        '[project]\nname = "bank"\n[costs]\nmachine_per_hour = "0.2"\n'
    )
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_text("weights")
    with open_app(load_project(tmp_path / "freehold.toml")) as app:
        registry: Registry = app.registry
        version = registry.add(
            model="bank", task="text-classification", labels=("no", "yes"), folder=folder,
            lineage={"method": "fine-tune", "data": {}}, metrics={}, train_seconds=1.0, examples=1,
            train_cost=Decimal(0), label_cost=Decimal(0), currency="EUR",
        )  # fmt: skip
        words = ("capacity", "--requests-per-day", "8640000", "--share", "0.8", "--busy", "0.5")
        refused = run_verb(tmp_path, *words, code=1)
        assert "bank@1 has not been exported" in refused["error"]
        report = {"inputs_per_second": 250.0}
        registry.add_bundle(version, folder, engine="onnxruntime", precision="int8", report=report)
    said = run_verb(tmp_path, *words)
    assert said["engine"] == "onnxruntime int8"
    assert said["planned_inputs_per_second"] == pytest.approx(100)
    assert said["busiest_inputs_per_second"] == pytest.approx(400)
    assert (said["machines"], said["per_month"]) == (4, "584.40")


def test_the_options_say_the_defaults_that_are_used() -> None:
    command: click.Command = importlib.import_module("freehold.cli.capacity").command
    defaults = {option.name: option.default for option in command.params}
    assert defaults["peak"] == module.PEAK
    assert defaults["busy"] == module.BUSY
    assert defaults["share"] == module.SHARE
