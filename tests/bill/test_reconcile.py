"""Reconciliation: 0 for an honest history, and not 0 for any tampering with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from venture import FREE, GROWTH, ISSUER, STARTER, Venture, time

from freehold.bill.invoices import close_all
from freehold.bill.ledger import Posting, post, reverse
from freehold.bill.periods import parse_period
from freehold.bill.reconcile import Reconciliation, reconcile
from freehold.clock import ManualClock
from freehold.store import schema
from freehold.store.database import Database

EVENTS, SERVED, INVOICES = schema.usage_events, schema.served, schema.invoices
ENTRIES, POSTINGS, TAKEN = schema.entries, schema.postings, schema.subscriptions


def check(venture: Venture) -> Reconciliation:
    return reconcile(venture.database, venture.clock)


def close_everybody(venture: Venture) -> None:
    close_all(venture.database, parse_period("2026-11"), venture.clock, venture.issuer)


def honest(venture: Venture) -> Venture:
    """Two customers with interim invoices and usage after them, on two versions."""
    venture.issuer = ISSUER
    venture.add("a", plan=STARTER)
    venture.add("b", plan=GROWTH)
    for round_ in range(2):
        for name in "ab":
            venture.use(120, customer=f"cus_{name}", version=1 + round_, tokens=1300)
        close_everybody(venture)
    return venture


def test_an_empty_venture_reconciles(venture: Venture) -> None:
    result = check(venture)
    assert result.difference == 0
    assert result.document()["amounts"] is None
    venture.add()
    assert check(venture).document()["amounts"]["invoiced"] == "0.00"


def test_an_honest_history_reconciles_to_the_unit(venture: Venture) -> None:
    document = check(honest(venture)).document()
    steps = ("served", "metered", "rated", "invoiced", "ledger")
    assert [document[step] for step in steps] == [480] * 5
    assert document["difference"] == 0
    assert document["unbilled"] == 0
    # a: 19.00 + 140 × 0.0125; b: 99.00 + 1600 × 0.0021
    assert document["amounts"] == {
        "currency": "EUR",
        "rated": "123.11",
        "invoiced": "123.11",
        "ledger": "123.11",
        "difference": "0.00",
    }
    assert document["discrepancies"] == []


def test_usage_that_waits_for_an_invoice_is_unbilled_and_not_a_difference(shop: Venture) -> None:
    honest(shop)
    shop.use(5, customer="cus_a")
    document = check(shop).document()
    assert (document["difference"], document["unbilled"], document["hints"]) == (0, 5, [])
    assert document["open"] == [{"customer": "a", "period": "2026-11", "inputs": 5, "ended": False}]


def test_an_ended_month_that_nobody_closed_gets_a_hint(shop: Venture) -> None:
    honest(shop)
    shop.use(5, customer="cus_a")
    shop.clock.at = time("2026-12-01")
    result = check(shop)
    assert result.difference == 0
    (hint,) = result.hints
    assert "5 inputs of 2026-11" in hint
    assert "freehold invoice close --period 2026-11" in hint


def test_after_a_final_invoice_nothing_may_wait(shop: Venture) -> None:
    honest(shop)
    shop.clock.at = time("2026-12-01")
    shop.use(5, customer="cus_a")
    close_everybody(shop)
    assert check(shop).difference == 0
    shop.use(7, customer="cus_a", tokens=70)
    assert check(shop).difference == 7 + 1 + 70  # inputs, requests, tokens
    close_everybody(shop)
    assert check(shop).difference == 0


def test_usage_outside_a_subscription_is_a_difference(shop: Venture) -> None:
    shop.add("a", starts="2026-11-10")
    shop.use(9, "2026-11-09T23:59", customer="cus_a")
    result = check(shop)
    assert (result.metered, result.rated) == (9, 0)
    assert result.difference > 0
    assert "a, 2026-11: metered against rated: 9 inputs expected, 0 found." in [
        item.sentence() for item in result.discrepancies
    ]


def test_another_currency_is_shown_apart(shop: Venture) -> None:
    honest(shop)
    shop.add("c", plan=STARTER, currency="JPY")
    close_everybody(shop)
    document = check(shop).document()
    assert document["amounts"]["currency"] == "EUR"
    assert document["other_amounts"] == [
        {"currency": "JPY", "rated": "19", "invoiced": "19", "ledger": "19", "difference": "0"}
    ]


def first(table: sa.Table) -> Any:
    return table.c.id == sa.select(sa.func.min(table.c.id)).scalar_subquery()


REVENUE = POSTINGS.c.account == "revenue"

TAMPERING: dict[str, Any] = {
    "an event deleted": EVENTS.delete().where(first(EVENTS)),
    "an event's inputs changed": EVENTS.update().where(first(EVENTS)).values(inputs=119),
    "an event's tokens changed": EVENTS.update().where(first(EVENTS)).values(tokens=1299),
    "an event's compute changed": EVENTS.update().where(first(EVENTS)).values(compute_us=1),
    "an event given to another version": EVENTS.update().where(first(EVENTS)).values(version=9),
    "an event given to another customer": EVENTS.update()
    .where(first(EVENTS)).values(customer_id="cus_b"),
    "an event moved to another month": EVENTS.update()
    .where(first(EVENTS)).values(at="2026-10-10T00:00:00.000000Z"),
    "a served row deleted": SERVED.delete().where(first(SERVED)),
    "a served row changed": SERVED.update().where(first(SERVED)).values(inputs=121),
    "an invoice's net changed": INVOICES.update().where(first(INVOICES)).values(net_minor=5),
    "an invoice's tax changed": INVOICES.update().where(first(INVOICES)).values(tax_minor=0),
    "an invoice's total changed": INVOICES.update().where(first(INVOICES)).values(total_minor=1),
    "an invoice's units changed": INVOICES.update().where(first(INVOICES)).values(units=119),
    "an invoice made final": INVOICES.update().where(first(INVOICES)).values(kind="final"),
    "an invoice given to another period": INVOICES.update()
    .where(first(INVOICES)).values(period="2026-10"),
    "an invoice's number changed": INVOICES.update()
    .where(first(INVOICES)).values(number="INV-2026-000099"),
    "an invoice's document changed": INVOICES.update()
    .where(first(INVOICES)).values(document=INVOICES.c.document + " "),
    "an invoice deleted": INVOICES.delete().where(INVOICES.c.number == "INV-2026-000004"),
    "an invoice in the middle deleted": INVOICES.delete().where(first(INVOICES)),
    "a posting's amount changed": POSTINGS.update().where(REVENUE).values(amount_minor=-1),
    "both sides of an entry changed": POSTINGS.update()
    .where(POSTINGS.c.account.in_(["receivable", "revenue"]))
    .values(amount_minor=POSTINGS.c.amount_minor
            + sa.case((POSTINGS.c.account == "revenue", -1), else_=1)),
    "a posting's units changed": POSTINGS.update().where(REVENUE).values(units=1),
    "a posting's account changed": POSTINGS.update().where(REVENUE).values(account="gifts"),
    "a posting's currency changed": POSTINGS.update().where(REVENUE).values(currency="USD"),
    "a posting given to another customer": POSTINGS.update()
    .where(REVENUE).values(customer_id="cus_b"),
    "a posting deleted": POSTINGS.delete().where(first(POSTINGS)),
    "an entry deleted": POSTINGS.delete()
    .where(POSTINGS.c.entry_id == sa.select(sa.func.min(ENTRIES.c.id)).scalar_subquery()),
    "a price changed": TAKEN.update()
    .values(terms=sa.func.replace(TAKEN.c.terms, "0.0125", "0.0225")),
    "a subscription's start changed": TAKEN.update()
    .values(starts_at="2026-11-16T00:00:00.000000Z"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_caught(shop: Venture, name: str) -> None:
    honest(shop)
    assert check(shop).difference == 0
    shop.run(TAMPERING[name])
    result = check(shop)
    assert result.difference > 0, name
    assert all(item.sentence() for item in result.discrepancies)


def forged_event(venture: Venture) -> None:
    (row, *_) = venture.rows(EVENTS.select())
    values = {**row._mapping, "request_id": "req_forged"}
    del values["id"]
    venture.run(EVENTS.insert().values(**values))


def reversed_invoice(venture: Venture) -> None:
    with venture.database.write() as connection:
        reverse(connection, "invoice:INV-2026-000001", venture.clock.now(), "by hand")


def invented_revenue(venture: Venture) -> None:
    postings = (Posting("receivable", 5, "EUR"), Posting("revenue", -5, "EUR", "cus_a", 1))
    with venture.database.write() as connection:
        post(connection, "invented", venture.clock.now(), "by hand", postings)


@pytest.mark.parametrize("tamper", [forged_event, reversed_invoice, invented_revenue])
def test_additions_are_caught(shop: Venture, tamper: Callable[[Venture], None]) -> None:
    honest(shop)
    tamper(shop)
    assert check(shop).difference > 0


def test_a_consistent_lie_in_document_and_ledger_is_still_caught(shop: Venture) -> None:
    """Somebody rewrites an invoice, its digest and its booking alike: the prices tell."""
    from freehold.bill.document import digest_of

    honest(shop)
    (row, *_) = shop.rows(INVOICES.select().order_by(INVOICES.c.id))
    text = row.document.replace('"net":{"amount":"19.25","minor":1925}', '"net":{"minor":1924}')
    text = text.replace('"minor":25', '"minor":24').replace('"minor":2291', '"minor":2290')
    assert text.count("1924") == 1
    shop.run(
        INVOICES.update()
        .where(first(INVOICES))
        .values(document=text, digest=digest_of(text), net_minor=1924, total_minor=2290)
    )
    for account, minor in (("receivable", 2290), ("revenue", -1924)):
        shop.run(
            POSTINGS.update()
            .where(POSTINGS.c.entry_id == 1, POSTINGS.c.account == account)
            .values(amount_minor=minor)
        )
    result = check(shop)
    assert [(item.check, item.difference) for item in result.discrepancies] == [
        ("priced anew against invoiced", 1)
    ]
    assert result.document()["amounts"]["difference"] == "0.01"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["use", "close"]), st.integers(0, 2), st.integers(1, 300)),
        max_size=12,
    )
)
def test_any_history_of_usage_and_closing_reconciles(
    sqlite: Database, steps: list[tuple[str, int, int]]
) -> None:
    venture = Venture(sqlite, ManualClock(time("2026-11-20")), ISSUER)
    many = len(venture.rows(EVENTS.select()))
    venture._numbers = iter(range(many, 10**9))
    if not venture.rows(schema.customers.select()):
        for name, plan in (("0", STARTER), ("1", GROWTH), ("2", FREE)):
            venture.add(name, plan=plan)
    for what, who, inputs in steps:
        if what == "use":
            venture.use(inputs, customer=f"cus_{who}", tokens=inputs * 7)
        else:
            venture.close(str(who))
    assert check(venture).difference == 0
    close_everybody(venture)
    result = check(venture)
    assert result.difference == 0
    assert result.served == result.ledger
