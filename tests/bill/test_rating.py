"""Rating: what must hold for every plan and quantity."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.bill.rating import rate_fee, rate_usage, total
from freehold.errors import InputError
from freehold.money import EXACT
from freehold.project import PlanTerms, Tier

prices = st.decimals("0", "1000", places=12, allow_nan=False)


@st.composite
def plans(draw: st.DrawFn) -> PlanTerms:
    """Any plan: per unit or graduated, with or without included units."""
    included = draw(st.integers(0, 300))
    widths = draw(st.lists(st.integers(1, 200), max_size=4))
    if not draw(st.booleans()):
        return PlanTerms(name="p", included=included, price=draw(prices))
    ends = [sum(widths[: n + 1]) for n in range(len(widths))]
    tiers = (*(Tier(end, draw(prices)) for end in ends), Tier(None, draw(prices)))
    return PlanTerms(name="p", included=included, tiers=tiers)


def naive(terms: PlanTerms, quantity: int) -> Decimal:
    """The price of each unit by itself, added up."""
    amount = Decimal(0)
    for unit in range(1, quantity - terms.included + 1):
        for tier in terms.tiers or (Tier(None, terms.price),):
            if tier.up_to is None or unit <= tier.up_to:
                amount += tier.price
                break
    return amount


@given(plans(), st.integers(0, 1500))
def test_rating_equals_the_sum_over_single_units(terms: PlanTerms, quantity: int) -> None:
    assert total(rate_usage(terms, quantity)) == naive(terms, quantity)


@given(plans(), st.integers(0, 10**18), st.integers(0, 10**18))
def test_more_units_never_cost_less(terms: PlanTerms, one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 0 <= total(rate_usage(terms, low)) <= total(rate_usage(terms, high))


@given(plans(), st.lists(st.integers(0, 10**6), max_size=6))
def test_splitting_the_quantity_adds_up(terms: PlanTerms, pieces: list[int]) -> None:
    charged, before = Decimal(0), 0
    for piece in pieces:
        after = before + piece
        charged += total(rate_usage(terms, after)) - total(rate_usage(terms, before))
        before = after
    assert charged == total(rate_usage(terms, sum(pieces)))


@given(plans(), st.integers(0, 10**9))
def test_every_unit_is_on_exactly_one_line(terms: PlanTerms, quantity: int) -> None:
    lines = rate_usage(terms, quantity)
    assert sum(line.quantity for line in lines) == quantity
    assert len({line.key for line in lines}) == len(lines)
    assert all(line.amount == line.rate * line.quantity for line in lines)
    edge = 1
    for line in lines:
        assert line.first == edge
        edge = (line.last or 0) + 1


@given(plans(), st.integers(0, 300))
def test_included_units_are_free(terms: PlanTerms, quantity: int) -> None:
    if quantity <= terms.included:
        assert total(rate_usage(terms, quantity)) == 0


@given(st.integers(0, 10**18), prices)
def test_nothing_is_rounded(quantity: int, price: Decimal) -> None:
    (amount,) = [line.amount for line in rate_usage(PlanTerms(price=price), quantity)] or [0]
    # In integers: a price has at most twelve decimals.
    with localcontext(EXACT):
        assert int(Decimal(amount).scaleb(12)) == int(price.scaleb(12)) * quantity


@given(st.decimals("0.01", "10000", places=2), st.integers(1, 31))
def test_a_fee_is_by_days_and_never_more_than_the_whole(fee: Decimal, days: int) -> None:
    terms = PlanTerms(fee=fee)
    (line,) = rate_fee(terms, days, 31)
    assert 0 < line.amount <= fee
    assert abs(line.amount * 31 - fee * days) < Decimal("1e-20")
    (whole,) = rate_fee(terms, 31, 31)
    assert whole.amount == fee


def test_no_fee_no_line() -> None:
    assert rate_fee(PlanTerms(), 10, 30) == ()
    assert rate_fee(PlanTerms(fee=Decimal(5)), 0, 30) == ()


def test_a_negative_quantity_gets_a_sentence() -> None:
    with pytest.raises(InputError, match="-1 cannot be rated"):
        rate_usage(PlanTerms(), -1)
