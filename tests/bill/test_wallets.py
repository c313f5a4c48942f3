"""Prepaid plans: top-ups once, use without a price, and a lie in any of it is seen."""

from __future__ import annotations

import threading
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from venture import PLAIN, STARTER, Venture

from freehold.bill.ledger import trial_balance
from freehold.bill.plans import check_terms, freeze, thaw
from freehold.bill.reconcile import reconcile
from freehold.bill.wallets import top_up, wallet_of
from freehold.errors import ConflictError, InputError, NotFoundError, ProjectError, StoreError
from freehold.meter import events
from freehold.meter.allowances import WALLET, wallet_id
from freehold.meter.dealer import Dealer
from freehold.project import PlanTerms
from freehold.serve.ports import Allowance, Caller, Tally, Work
from freehold.store import schema

AHEAD = PlanTerms(name="ahead", fee=Decimal("5.00"), prorate=False, prepaid=True)
NAME = "cus_North Bank"
ROW = wallet_id(NAME, "inputs")
TOPUPS, ALLOWANCES, POSTINGS = schema.topups, schema.allowances, schema.postings


def use(venture: Venture, inputs: int, tokens: int = 9) -> None:
    """A request of a prepaid customer: held, then settled with its event."""
    one = Dealer(venture.database, "s1", venture.clock, thread=False)
    asked = one.hold([Allowance(ROW, NAME, WALLET, "inputs", 0)], inputs, tokens)
    one.round()
    hold = asked.result(0)
    number = next(venture._numbers)
    work = Work(
        Caller(NAME, "key_1"), f"w{number}", None, "d", "bank", 1, inputs, tokens, 5, b"", hold
    )
    tallies = [Tally("bank", 1, 1, inputs, tokens, 5)]
    events.settle(venture.database, [work], tallies, server="s1", clock=venture.clock)
    one.close_hold(hold, used=True)


@pytest.fixture
def shop(venture: Venture) -> Venture:
    venture.add(plan=AHEAD)
    top_up(venture.database, "North Bank", 100, venture.clock, paid=Decimal("9.90"), key="one")
    use(venture, 30)
    return venture


def test_what_is_prepaid_is_covered_by_the_invoice_and_not_charged(shop: Venture) -> None:
    invoice = shop.bill()
    document = invoice.document()
    assert invoice.net_minor == 500  # the base fee
    assert invoice.units == 30
    assert [(line["key"], line["quantity"], line["minor"]) for line in document["lines"]] == [
        ("fee", 1, 500),
        ("prepaid", 30, 0),
    ]
    assert document["lines"][1]["description"] == "Inputs paid from the wallet"
    use(shop, 20)
    further = shop.bill()
    assert (further.net_minor, further.units) == (0, 20)
    result = reconcile(shop.database, shop.clock)
    assert result.difference == 0
    assert result.served == result.ledger == 50


def test_top_ups_are_added_once(shop: Venture) -> None:
    wallet, again = top_up(shop.database, NAME, 100, shop.clock, paid=Decimal("9.90"), key="one")
    assert (wallet.granted, wallet.used, wallet.held, wallet.left) == (100, 30, 0, 70)
    assert again.paid.minor == 990
    with pytest.raises(ConflictError, match=r"Under the key 'one' 100 inputs were added for 9\.90"):
        top_up(shop.database, NAME, 101, shop.clock, paid=Decimal("9.90"), key="one")
    wallet, more = top_up(shop.database, NAME, 5, shop.clock)
    assert more.key.startswith("top_")
    assert (wallet.granted, len(wallet.topups)) == (105, 2)
    with shop.database.read() as connection:
        balance = {one.account: one.balance_minor for one in trial_balance(connection)}
    assert balance == {"cash": 990, "deferred_revenue": -990}
    assert wallet_of(shop.database, "North Bank").document()["left"] == 75


def test_one_key_at_the_same_time_is_added_once(shop: Venture) -> None:
    failures: list[BaseException] = []

    def add() -> None:
        try:
            top_up(shop.database, NAME, 7, shop.clock, paid=Decimal(1), key="same")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert wallet_of(shop.database, NAME).granted == 107
    assert reconcile(shop.database, shop.clock).difference == 0


@pytest.mark.parametrize(
    ("units", "given", "said"),
    [
        (0, {}, "0 units cannot be added"),
        (10**18, {}, "units cannot be added"),
        (1, {"paid": Decimal("0.001")}, "0.001 is not an amount of EUR"),
        (1, {"paid": Decimal(-1)}, "-1 is not an amount of EUR"),
        (1, {"key": ""}, "1 to 255 characters"),
    ],
)
def test_what_cannot_be_meant(shop: Venture, units: int, given: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        top_up(shop.database, NAME, units, shop.clock, **given)
    assert wallet_of(shop.database, NAME).granted == 100


def test_only_a_prepaid_plan_has_a_wallet(venture: Venture) -> None:
    venture.add(plan=STARTER)
    with pytest.raises(InputError, match="has no wallet: plan 'starter' is not prepaid"):
        top_up(venture.database, NAME, 5, venture.clock)
    with pytest.raises(NotFoundError):
        wallet_of(venture.database, "Nobody")


def test_terms_from_before_there_were_limits_come_back() -> None:
    old = '{"currency":"EUR","fee":"1","included":5,"name":"old","price":"0.1","unit":"inputs"}'
    terms = thaw(old).terms
    assert (terms.prepaid, terms.quota, terms.requests_per_minute) == (False, 0, 0)
    limited = replace(AHEAD, quota=7, requests_per_minute=60, tokens_per_minute=900)
    assert thaw(freeze(limited, "EUR")).terms == limited


@pytest.mark.parametrize(
    "change", [{"price": Decimal(1)}, {"included": 5}, {"quota": -1}, {"requests_per_minute": -1}]
)
def test_terms_that_cannot_be_meant(change: Any) -> None:
    with pytest.raises(ProjectError):
        check_terms(replace(AHEAD, **change))


WALLET_ROW = ALLOWANCES.update().where(ALLOWANCES.c.id == ROW)
TAMPERING: dict[str, Any] = {
    "a top-up deleted": TOPUPS.delete(),
    "a top-up changed": TOPUPS.update().values(units=99),
    "what was paid changed": TOPUPS.update().values(paid_minor=1),
    "a wallet granted more": WALLET_ROW.values(granted=101),
    "a wallet that used less": WALLET_ROW.values(used=29),
    "a wallet that holds what no server does": WALLET_ROW.values(held=1),
    "a wallet deleted": ALLOWANCES.delete(),
    "a wallet made a quota that used more than was metered": WALLET_ROW.values(
        kind="quota", period="2026-11", used=10**6
    ),
    "a plan made prepaid that was not": schema.subscriptions.update().values(
        terms=sa.func.replace(schema.subscriptions.c.terms, '"prepaid":true', '"prepaid":false')
    ),
    "an event deleted": schema.usage_events.delete(),
    "cash changed": POSTINGS.update().where(POSTINGS.c.account == "cash").values(amount_minor=1),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_caught(shop: Venture, name: str) -> None:
    assert reconcile(shop.database, shop.clock).difference == 0
    shop.run(schema.holds.delete())  # of no units, in the way of what is deleted
    shop.run(TAMPERING[name])
    result = reconcile(shop.database, shop.clock)
    assert result.difference > 0, name
    assert all(item.sentence() for item in result.discrepancies)


def test_the_database_itself_refuses_what_is_overdrawn(shop: Venture) -> None:
    with pytest.raises(StoreError):
        shop.run(WALLET_ROW.values(used=101))
    with pytest.raises(StoreError):
        shop.run(WALLET_ROW.values(held=-1))
    assert shop.issuer == PLAIN
