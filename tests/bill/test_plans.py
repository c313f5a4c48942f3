"""Terms as a subscription keeps them."""

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.bill.plans import check_terms, freeze, thaw
from freehold.errors import IntegrityError, ProjectError
from freehold.project import PlanTerms, Tier

amounts = st.decimals("0", "10000", places=12, allow_nan=False)


@given(
    st.builds(
        PlanTerms,
        name=st.text(min_size=1, max_size=20),
        fee=amounts,
        prorate=st.booleans(),
        unit=st.sampled_from(["inputs", "tokens"]),
        included=st.integers(0, 10**12),
        price=amounts,
    ),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_terms_come_back_as_they_were(terms: PlanTerms, currency: str) -> None:
    snapshot = thaw(freeze(terms, currency))
    assert snapshot.terms == terms
    assert snapshot.currency == currency
    assert freeze(snapshot.terms, currency) == freeze(terms, currency)


def test_tiers_and_trailing_zeros_come_back() -> None:
    terms = PlanTerms(name="g", tiers=(Tier(10, Decimal("0.10")), Tier(None, Decimal("0.050"))))
    text = freeze(terms, "EUR")
    assert '"0.10"' in text
    assert thaw(text).terms == terms


def test_a_setting_that_is_newer_than_the_snapshot_has_its_default() -> None:
    document = msgspec.json.decode(freeze(PlanTerms(name="old", fee=Decimal(5)), "EUR"))
    del document["prorate"]
    assert thaw(msgspec.json.encode(document).decode()).terms.prorate is True


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"currency":"EUR","name":"p","fee":"x"}', '{"currency":"EUR","colour":1}'],
)
def test_what_freehold_did_not_write_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError, match="terms are not what"):
        thaw(text)


PLAN = PlanTerms(name="p", price=Decimal(1))


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (replace(PLAN, name=""), "no name"),
        (replace(PLAN, unit="words"), "counts 'words'"),
        (replace(PLAN, fee=Decimal(-1)), "negative"),
        (replace(PLAN, price=Decimal("NaN")), "negative"),
        (replace(PLAN, included=-1), "negative"),
        (replace(PLAN, tiers=(Tier(None, Decimal(1)),)), "both price and tiers"),
        (PlanTerms(name="p", tiers=(Tier(5, Decimal(1)),)), "Tier 1 of plan 'p' ends at 5"),
        (
            PlanTerms(name="p", tiers=(Tier(5, Decimal(1)), Tier(5, Decimal(1)))),
            "Tier 2 of plan 'p' ends at 5",
        ),
        (
            PlanTerms(name="p", tiers=(Tier(None, Decimal(1)), Tier(None, Decimal(1)))),
            "Tier 1 of plan 'p' ends at None",
        ),
        (
            PlanTerms(
                name="p", tiers=(Tier(5, Decimal(1)), Tier(4, Decimal(1)), Tier(None, Decimal(1)))
            ),
            "Tier 2 of plan 'p' ends at 4",
        ),
    ],
)
def test_terms_that_cannot_be_meant_get_a_sentence(terms: PlanTerms, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        check_terms(terms)
