"""Worked examples of public billing systems, as far as today's plans can say them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from freehold.bill.document import tax_on
from freehold.bill.rating import rate_fee, rate_usage, total
from freehold.money import round_money
from freehold.project import PlanTerms, Tier

Row = Mapping[str, Any]


def per_unit(row: Row) -> Decimal:
    terms = PlanTerms(price=Decimal(row["unit_amount"]))
    return total(rate_usage(terms, int(row["quantity"])))


def graduated(row: Row) -> Decimal:
    tiers = tuple(
        Tier(int(tier["up_to"]) if tier["up_to"] else None, Decimal(tier["unit_amount"]))
        for tier in row["tiers"]
    )
    return total(rate_usage(PlanTerms(tiers=tiers), int(row["quantity"])))


def fee(row: Row) -> Decimal:
    terms = PlanTerms(fee=Decimal(row["amount"]))
    return total(rate_fee(terms, int(row["days_used"]), int(row["days_in_period"])))


def taxed(row: Row, amount: Decimal) -> Decimal:
    net = round_money(amount, row["currency"])
    return (net + tax_on(net, Decimal(row["tax_rate_percent"]) / 100)).amount


NOW: dict[str, Callable[[Row], Decimal]] = {
    "per_unit": per_unit,
    "graduated": graduated,
    "proration_by_days": lambda row: round_money(fee(row), row["currency"]).amount,
    "proration_first_period_with_tax": lambda row: taxed(row, fee(row)),
    "tax_on_amount": lambda row: taxed(row, Decimal(row["amount"])),
}

# What the plans of this version cannot say; each goes when its price model comes.
LATER = {
    "bucketed_graduated": "buckets",
    "bucketed_package": "buckets",
    "bucketed_per_unit": "buckets",
    "bucketed_volume": "buckets",
    "cost_plus_multiplier": "cost plus",
    "coupon_fixed": "coupons",
    "coupon_percent": "coupons",
    "graduated_blocks": "packages",
    "graduated_capped": "caps",
    "graduated_incremental": "tiers with flat fees",
    "graduated_percentage": "percentages",
    "graduated_percentage_incremental": "percentages",
    "graduated_with_maximum_incremental": "maximum",
    "graduated_with_minimum_incremental": "minimum commitment",
    "late_usage_delta_blocks": "packages",
    "metric_gross_mrr_churn_pct": "subscription metrics",
    "metric_mrr_normalised": "subscription metrics",
    "metric_mrr_sum": "subscription metrics",
    "metric_net_mrr_churn_daily_pct": "subscription metrics",
    "metric_net_mrr_churn_pct": "subscription metrics",
    "minimum_spend_true_up": "minimum commitment",
    "minimum_spend_true_up_prorated": "minimum commitment",
    "package": "packages",
    "package_incremental": "packages",
    "package_rounding": "packages",
    "package_with_maximum_incremental": "packages",
    "package_with_minimum": "packages",
    "per_unit_discount_then_maximum_incremental": "maximum",
    "per_unit_with_maximum_incremental": "maximum",
    "per_unit_with_minimum": "minimum commitment",
    "percentage": "percentages",
    "percentage_per_transaction": "percentages",
    "plan_change_net": "plan changes",
    "stairstep": "stairstep",
    "unit_conversion_free_units_per_unit": "unit conversion",
    "unit_conversion_then_graduated": "unit conversion",
    "unit_conversion_then_per_unit": "unit conversion",
    "volume": "volume",
    "volume_blocks": "volume",
    "volume_with_maximum": "volume",
    "volume_with_minimum": "volume",
}


def later(row: Row) -> str | None:
    """Why a row must wait, or None when it must pass now."""
    if row["model"] in LATER:
        return LATER[row["model"]]
    if any(Decimal(tier.get("flat_amount", 0)) for tier in row.get("tiers", ())):
        return "tiers with flat fees"
    numbers = [row.get("quantity", "0"), *(t["up_to"] or "0" for t in row.get("tiers", ()))]
    if any(Decimal(number) % 1 for number in numbers):
        return "fractions of units"
    return None


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    given = os.environ.get("FREEHOLD_PRICING_VECTORS")
    file = Path(given) if given else request.getfixturevalue("shared") / "vectors" / "pricing.json"
    if not file.is_file():
        pytest.skip(f"the pricing vectors are not there ({file.name})")
    loaded: list[Row] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.shared
def test_every_row_that_a_plan_can_say_gives_its_amount(rows: list[Row]) -> None:
    wrong, rated = [], 0
    for row in rows:
        if later(row) is None:
            rated += 1
            amount = NOW[row["model"]](row)
            if amount != Decimal(row["expected"]):
                wrong.append(f"{row['id']} ({row['model']}): {amount}, not {row['expected']}")
    assert not wrong
    assert rated >= 20


@pytest.mark.shared
def test_rows_wait_only_for_a_named_reason(rows: list[Row]) -> None:
    unknown = {row["model"] for row in rows} - set(NOW) - set(LATER)
    assert not unknown
    assert not set(NOW) & set(LATER)
