"""The margin report: parts add up to the whole, exactly, and it says what stands out."""

from __future__ import annotations

import io
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console
from venture import FREE, GROWTH, STARTER, Venture, time

from freehold.bill.ledger import reverse
from freehold.bill.periods import parse_period
from freehold.clock import ManualClock
from freehold.economics.figures import plain
from freehold.economics.margins import Report, report
from freehold.economics.notes import say
from freehold.economics.terminal import render
from freehold.errors import InputError
from freehold.project import Costs
from freehold.store import schema
from freehold.store.database import Database

COSTS = Costs(machine_per_hour=Decimal("3.60"), lifetime_inputs=1000)


def version(venture: Venture, number: int = 1, currency: str = "EUR", **values: Any) -> None:
    row = {
        "model": "bank",
        "version": number,
        "task": "text-classification",
        "stage": "live",
        "created_at": "2026-11-01T00:00:00.000000Z",
        "labels": "[]",
        "lineage": "{}",
        "metrics": "{}",
        "train_ms": 0,
        "examples": 0,
        "train_cost": "2",
        "label_cost": "8",
        "currency": currency,
        "files": "{}",
    }
    venture.run(schema.versions.insert().values(**{**row, **values}))


def accounts(venture: Venture, costs: Costs = COSTS, period: str | None = None) -> Report:
    month = parse_period(period) if period else None
    return report(venture.database, costs, "EUR", venture.clock, month)


def line(found: Report, group: str, name: str) -> dict[str, Any]:
    return next(item for item in found.document()[group] if item["name"] == name)


def trade(venture: Venture) -> None:
    """North Bank pays for 150 inputs on two versions; South Bank uses 50 for nothing."""
    version(venture)
    version(venture, 2, train_cost="0", label_cost="0")
    venture.add(plan=replace(STARTER, included=0, fee=Decimal("3.00"), price=Decimal("0.01")))
    venture.add("South Bank", plan=FREE)
    venture.use(100, compute_us=1_000_000)
    venture.use(50, compute_us=250_000, version=2)
    venture.use(50, compute_us=500_000, customer="cus_South Bank")


def test_revenue_cost_and_margin_of_each(venture: Venture) -> None:
    trade(venture)
    venture.bill()
    found = accounts(venture)
    # 3.60 an hour is 0.001 a second; a version's 10.00 over 1,000 inputs is 0.01 an input.
    assert line(found, "customers", "North Bank") == {
        "name": "North Bank",
        "requests": 2,
        "inputs": 150,
        "tokens": 1500,
        "booked": "4.50",
        "unbilled": "0.00",
        "revenue": "4.50",
        "cost": {"compute": "0.00125", "training": "0.20", "labelling": "0.80", "total": "1.00125"},
        "gross_margin": "3.49875",
        "margin_percent": "77.75",
        "cost_per_1000": "6.675",
        "revenue_per_1000": "30.00",
    }
    south = line(found, "customers", "South Bank")
    assert (south["revenue"], south["cost"]["total"]) == ("0.00", "0.5005")
    assert (south["gross_margin"], south["margin_percent"]) == ("-0.5005", None)
    assert line(found, "plans", "starter")["gross_margin"] == "3.49875"
    # North Bank's revenue goes to the versions as its inputs do: two thirds, one third.
    assert line(found, "versions", "bank@1")["revenue"] == "3.00"
    assert line(found, "versions", "bank@2")["revenue"] == "1.50"
    assert line(found, "versions", "bank@2")["cost"]["total"] == "0.00025"
    total = found.document()["total"]
    assert (total["revenue"], total["gross_margin"]) == ("4.50", "2.99825")


def test_what_is_not_invoiced_is_shown_apart(shop: Venture) -> None:
    trade(shop)
    before = line(accounts(shop), "customers", "North Bank")
    assert (before["booked"], before["unbilled"], before["revenue"]) == ("0.00", "4.50", "4.50")
    shop.bill()
    shop.use(10)
    after = line(accounts(shop), "customers", "North Bank")
    assert (after["booked"], after["unbilled"], after["revenue"]) == ("4.50", "0.10", "4.60")


def test_a_reversal_takes_revenue_back(shop: Venture) -> None:
    trade(shop)
    invoice = shop.bill()
    with shop.database.write() as connection:
        reverse(connection, f"invoice:{invoice.number}", time("2026-12-03"), "by hand")
    assert line(accounts(shop, period="2026-11"), "customers", "North Bank")["booked"] == "0.00"


def test_a_month_is_reported_alone_or_with_all_others(shop: Venture) -> None:
    shop.add(plan=STARTER, starts="2026-09-15")
    shop.use(1000, "2026-10-05")
    shop.close(period="2026-09")
    shop.close(period="2026-10")
    whole = accounts(shop)
    assert [period.name for period in whole.periods] == ["2026-09", "2026-10", "2026-11"]
    october = accounts(shop, period="2026-10")
    assert october.document()["total"]["revenue"] == "30.25"
    september = accounts(shop, period="2026-09")
    assert september.document()["total"]["booked"] == "19.00"
    assert line(september, "versions", "(no usage)")["revenue"] == "19.00"
    assert whole.document()["total"]["revenue"] == "68.25"  # November's fee is not invoiced yet
    with pytest.raises(InputError, match="has not begun"):
        accounts(shop, period="2026-12")


def test_fixed_costs_are_below_the_line_by_month(shop: Venture) -> None:
    shop.add(starts="2026-10-01")
    costs = replace(COSTS, fixed_per_month=Decimal("100"))
    document = accounts(shop, costs).document()
    assert (document["fixed"], document["operating_result"]) == ("200.00", "-162.00")


def test_an_empty_venture_has_a_report(venture: Venture) -> None:
    found = accounts(venture)
    assert found.document()["total"]["revenue"] == "0.00"
    assert found.stands_out == ("2026-11: nothing was used and nothing earned.",)
    assert show(found)


def test_usage_outside_a_subscription_costs_and_earns_nothing(shop: Venture) -> None:
    shop.add(starts="2026-12-01")
    shop.use(10)
    found = accounts(shop)
    assert line(found, "plans", "(no plan)")["inputs"] == 10
    assert any("10 inputs were used outside any subscription" in s for s in found.stands_out)


def test_other_currencies_are_left_out_and_named(shop: Venture) -> None:
    version(shop, currency="USD")
    shop.add(currency="JPY")
    shop.use(10, compute_us=0)
    shop.use(10, compute_us=0, version=7)
    shop.bill()
    found = accounts(shop)
    assert found.document()["total"]["revenue"] == "0.00"
    assert found.document()["total"]["cost"]["total"] == "0.00"
    text = " ".join(found.stands_out)
    assert "North Bank pays in JPY" in text
    assert "What bank@1 cost to make was recorded in USD" in text
    assert "bank@7 is not in the registry" in text


def test_a_customer_that_cannot_be_billed_is_named_and_does_not_stop_the_report(
    shop: Venture,
) -> None:
    trade(shop)
    shop.bill()
    shop.run(schema.usage_events.delete().where(schema.usage_events.c.version == 2))
    assert any("was billed for 150 inputs" in sentence for sentence in accounts(shop).stands_out)


def test_what_stands_out_has_its_numbers(shop: Venture) -> None:
    trade(shop)
    shop.bill()
    text = "\n".join(accounts(shop, replace(COSTS, fixed_per_month=Decimal("30"))).stands_out)
    assert (
        "2026-11: 4.50 EUR earned (4.50 EUR booked, 0.00 EUR not invoiced yet) at a cost of "
        "1.50 EUR: a gross margin of 3.00 EUR, 66.6 %."
    ) in text
    assert "South Bank loses 0.501 EUR: 1,000 inputs bring 0.00 EUR and cost 10.01 EUR." in text
    assert "1,000 inputs cost 0.00500 EUR on bank@2 and 10.01 EUR on bank@1." in text
    assert "bank@1 cost 10.00 EUR to make; its 150 inputs have carried 15.00 % of it" in text
    assert "the operating result is -27.00 EUR" in text
    assert "10 more such customers would cover them" in text


def test_a_price_below_the_cost_of_computing_is_named(shop: Venture) -> None:
    version(shop)
    shop.add(plan=replace(STARTER, price=Decimal("0.00001")))
    shop.use(200, compute_us=20_000_000)
    text = " ".join(accounts(shop).stands_out)
    assert "Plan starter sells further inputs at 0.0000100 EUR each, below the 0.000100 EUR" in text


def test_a_month_that_ended_without_an_invoice_is_named(shop: Venture) -> None:
    shop.add(starts="2026-10-01")
    text = " ".join(accounts(shop).stands_out)
    assert "19.00 EUR of 2026-10 is earned and not invoiced" in text
    assert "freehold invoice close --period 2026-10" in text
    assert "close --period 2026-11" not in text


def test_one_customer_who_brings_most_is_named(shop: Venture) -> None:
    shop.add("big", plan=GROWTH)
    shop.add("small", plan=STARTER)
    assert "big brings 84 % of the revenue." in accounts(shop).stands_out


def show(found: Report, width: int = 120) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(render(found))
    return stream.getvalue()


def test_the_terminal_shows_the_same_figures(shop: Venture) -> None:
    trade(shop)
    shop.bill()
    text = show(accounts(shop))
    for part in ("Version", "bank@1", "North Bank", "starter", "4.50", "77.8 %", "-0.501",
                 "Operating result", "What stands out"):  # fmt: skip
        assert part in text
    assert "Open" not in text
    shop.use(10)
    assert "Open" in show(accounts(shop))
    for width in (60, 80, 100, 200):
        narrow = show(accounts(shop), width)
        assert max(len(row) for row in narrow.splitlines()) <= width
        assert "South Bank" in narrow
        assert ("Earns" in narrow) == (width > 80)


def test_amounts_are_said_with_the_digits_they_need() -> None:
    assert say(Decimal("1234.5"), "EUR") == "1,234.50 EUR"
    assert say(Decimal("0"), "EUR") == "0.00 EUR"
    assert say(Decimal("-0.000123456"), "EUR") == "-0.000123 EUR"
    assert say(Decimal("12.4"), "JPY") == "12 JPY"
    assert plain(Decimal("1.50000"), "EUR") == "1.50"
    assert plain(Decimal("1.000000000000000001"), "EUR") == "1.000000000000000001"
    assert plain(Decimal("7.0"), "JPY") == "7"
    assert plain(Decimal("0E-18"), "EUR") == "0.00"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.integers(1, 2), st.integers(1, 500), st.integers(0, 10**7)
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_customers_plans_and_versions_add_up_to_the_total(
    sqlite: Database, usage: list[tuple[str, int, int, int]], closing: bool
) -> None:
    shop = Venture(sqlite, ManualClock(time("2026-11-20")))
    shop._numbers = iter(range(len(shop.rows(schema.usage_events.select())), 10**9))
    if not shop.rows(schema.versions.select()):
        version(shop, train_cost="1.234567", label_cost="0.777")
        for name, plan in (("a", STARTER), ("b", GROWTH), ("c", FREE)):
            shop.add(name, plan=plan)
    for name, number, inputs, compute_us in usage:
        shop.use(inputs, customer=f"cus_{name}", version=number, compute_us=compute_us)
    if closing:
        shop.close("a")
        shop.close("b")
    costs = Costs(machine_per_hour=Decimal("0.7"), lifetime_inputs=333)
    found = accounts(shop, costs)
    for group in (found.customers, found.plans, found.versions):
        for figure in ("booked", "unbilled", "revenue", "gross_margin", "inputs"):
            whole = getattr(found.total, figure)
            assert sum(getattr(item, figure) for item in group) == whole
        assert sum(item.cost.total for item in group) == found.total.cost.total
    assert found.document() == accounts(shop, costs).document()
