"""Exact money."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import ProjectError
from freehold.money import Money, minor_digits, parse_rate, round_money

RATES = st.decimals(min_value=-(10**12), max_value=10**12, places=6, allow_nan=False)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("0.005", "EUR", 1),
        ("0.0049", "EUR", 0),
        ("-0.005", "EUR", -1),
        ("2.675", "EUR", 268),
        ("0.5", "JPY", 1),
        ("1.0005", "KWD", 1001),
        ("999999999999999999.995", "EUR", 100000000000000000000),
    ],
)
def test_rounds_half_up(amount: str, currency: str, minor: int) -> None:
    assert round_money(Decimal(amount), currency) == Money(minor, currency)


@given(RATES)
def test_rounding_is_never_off_by_more_than_half_a_minor_unit(amount: Decimal) -> None:
    assert abs(round_money(amount, "EUR").amount - amount) <= Decimal("0.005")


@given(RATES)
def test_rounding_is_symmetric(amount: Decimal) -> None:
    assert round_money(-amount, "EUR") == -round_money(amount, "EUR")


@given(st.integers(-(10**15), 10**15), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_an_amount_survives_a_round_trip(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert round_money(money.amount, currency) == money
    assert -money.amount.as_tuple().exponent == minor_digits(currency)  # type: ignore[operator]


def test_currencies_do_not_mix() -> None:
    with pytest.raises(ValueError, match="cannot add USD to EUR"):
        Money(1, "EUR") + Money(1, "USD")


def test_reads_well() -> None:
    assert str(Money(123456789, "EUR")) == "1,234,567.89 EUR"


@pytest.mark.parametrize("value", ["0.0025", "12", 7, "-3.5", " 1.0 "])
def test_exact_amounts_are_read(value: object) -> None:
    assert parse_rate(value) == Decimal(str(value).strip())


@pytest.mark.parametrize(
    "value", [0.1, True, None, "", "1e3", "NaN", "inf", "1,5", "0.1234567890123", "9" * 19, "€3"]
)
def test_inexact_amounts_are_refused_by_name(value: object) -> None:
    with pytest.raises(ProjectError, match=r"price is"):
        parse_rate(value, what="price")
