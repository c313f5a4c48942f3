"""The verbs that handle money: customer, invoice, report, reconcile."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from venture import Venture

from freehold.bill.periods import period_of
from freehold.cli.main import main
from freehold.clock import SystemClock, format_time
from freehold.store import schema
from freehold.store.database import Database

TOML = """
[project]
name = "bank"
currency = "EUR"

[billing]
seller = "Example Texts Ltd"
tax_rate = "0.2"

[[plans]]
name = "starter"
fee = "10.00"
prorate = false
price = "0.01"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("FREEHOLD_DATABASE_URL", raising=False)
    (tmp_path / "freehold.toml").write_text(TOML)
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--project", str(folder)], env={"COLUMNS": "120"})


def said(folder: Path, *arguments: str) -> Any:
    result = run(folder, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def now_period() -> str:
    return period_of(SystemClock().now()).name


def use(folder: Path, customer: str, inputs: int) -> None:
    with Database.open_file(folder / ".freehold" / "freehold.db") as database:
        Venture(database).use(
            inputs, format_time(SystemClock().now())[:26], customer=customer, compute_us=5000
        )


def test_a_customer_gets_a_key_once(folder: Path) -> None:
    result = run(folder, "customer", "add", "North [red] Bank", "--plan", "starter")
    assert result.exit_code == 0, result.output
    assert "North [red] Bank is a customer on plan starter" in result.stdout
    assert result.stdout.count("fh_") == 1
    assert "stored nowhere" in result.stdout
    added = said(
        folder, "customer", "add", "South Bank", "--plan", "starter", "--starts", "2026-01-05"
    )
    assert added["key"].startswith("fh_")
    assert added["customer"]["starts_at"] == "2026-01-05T00:00:00.000000Z"
    listed = said(folder, "customer", "list")["customers"]
    assert [customer["name"] for customer in listed] == ["North [red] Bank", "South Bank"]
    assert "fh_" not in run(folder, "customer", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["customer", "add", "a", "--plan", "gold"], "There is no plan 'gold'"),
        (["customer", "add", "a", "--plan", "starter", "--starts", "tomorrow"], "is not a date"),
        (["customer", "add", " ", "--plan", "starter"], "name is empty"),
        (["invoice", "close", "--period", "2026-13"], "'2026-13' is not a period"),
        (["invoice", "close", "--period", "9998-01"], "has not begun"),
        (["invoice", "close", "--period", "2026-01", "--customer", "x"], "no customer 'x'"),
        (["invoice", "show", "INV-1"], "no invoice 'INV-1'"),
        (["report", "--period", "9998-01"], "has not begun"),
    ],
)
def test_bad_input_gets_a_sentence(folder: Path, arguments: list[str], message: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_a_venture_without_anything(folder: Path) -> None:
    assert "no customer yet" in run(folder, "customer", "list").stdout
    assert "nothing to invoice" in run(folder, "invoice", "close", "--period", now_period()).stdout
    assert "No invoice was issued yet" in run(folder, "invoice", "list").stdout
    assert "nothing was used" in run(folder, "report").stdout
    assert "difference 0" in run(folder, "reconcile").stdout


def test_from_usage_to_a_reconciled_invoice(folder: Path) -> None:
    period = now_period()
    customer = said(folder, "customer", "add", "North Bank", "--plan", "starter")["customer"]["id"]
    use(folder, customer, 250)
    closed = said(folder, "invoice", "close", "--period", period)
    (invoice,) = closed["invoices"]
    assert (invoice["net"]["amount"], invoice["total"]["amount"]) == ("12.50", "15.00")
    assert invoice["new"]
    file = folder / "invoices" / f"{invoice['number']}.json"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == invoice["digest"]
    assert file.with_suffix(".pdf").read_bytes().startswith(b"%PDF")

    again = run(folder, "invoice", "close", "--period", period, "--customer", "North Bank")
    assert "0 new, 1 issued before" in again.stdout
    assert invoice["number"] in run(folder, "invoice", "list").stdout
    listed = said(folder, "invoice", "list", "--customer", "North Bank", "--period", period)
    assert [item["number"] for item in listed["invoices"]] == [invoice["number"]]
    document = said(folder, "invoice", "show", invoice["number"])
    assert document == json.loads(file.read_bytes())
    shown = run(folder, "invoice", "show", invoice["number"], "--pdf", str(folder / "copy.pdf"))
    assert "15.00 EUR" in shown.stdout
    assert (folder / "copy.pdf").read_bytes() == file.with_suffix(".pdf").read_bytes()

    proof = said(folder, "reconcile")
    steps = ("served", "metered", "rated", "invoiced", "ledger", "difference")
    assert [proof[step] for step in steps] == [250, 250, 250, 250, 250, 0]
    report = said(folder, "report", "--period", period)
    assert report["total"]["revenue"] == "12.50"
    assert "North Bank" in run(folder, "report").stdout


def test_reconcile_fails_when_something_differs(folder: Path) -> None:
    customer = said(folder, "customer", "add", "North Bank", "--plan", "starter")["customer"]["id"]
    use(folder, customer, 10)
    with Database.open_file(folder / ".freehold" / "freehold.db") as database:
        Venture(database).run(schema.served.delete())
    result = run(folder, "reconcile")
    assert result.exit_code == 1
    assert "bank@1: served against metered: 0 inputs expected, 10 found." in result.stdout
    assert "Difference" in result.stdout
    with_json = run(folder, "reconcile", "--json")
    assert with_json.exit_code == 1
    assert json.loads(with_json.stdout)["difference"] > 0
