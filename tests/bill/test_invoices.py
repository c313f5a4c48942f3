"""Closing a period: everything once, in order, exact, the same bytes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from venture import FREE, GROWTH, ISSUER, PLAIN, STARTER, Venture, time

from freehold.bill.document import digest_of
from freehold.bill.invoices import close_all, get, list_invoices, outstanding
from freehold.bill.ledger import find_entry
from freehold.bill.periods import parse_period
from freehold.errors import (
    ConflictError,
    InputError,
    IntegrityError,
    NotFoundError,
    ProjectError,
)
from freehold.store import schema


def lines(document: dict[str, Any]) -> list[tuple[str, int, str]]:
    return [(line["description"], line["quantity"], line["amount"]) for line in document["lines"]]


def test_an_invoice_holds_fee_included_units_overage_and_tax(venture: Venture) -> None:
    venture.issuer = ISSUER
    venture.add()
    venture.use(130)
    venture.use(3, "2026-11-11")
    invoice = venture.bill()
    document = invoice.document()
    assert invoice.number == "INV-2026-000001"
    assert lines(document) == [
        ("Base fee, November 2026", 1, "19.00"),
        ("Inputs covered by the base fee", 100, "0.00"),
        ("Inputs from 101 on", 33, "0.41"),  # 33 × 0.0125 = 0.4125
    ]
    assert tuple(document[name]["amount"] for name in ("net", "tax", "total")) == (
        "19.41",
        "3.69",  # 19.41 × 0.19 = 3.6879
        "23.10",
    )
    assert (invoice.net_minor, invoice.tax_minor, invoice.total_minor) == (1941, 369, 2310)
    assert invoice.units == 133
    assert document["usage"]["new"] == {"requests": 2, "inputs": 133, "tokens": 1330}
    assert document["customer"] == {"id": "cus_North Bank", "name": "North Bank"}
    assert document["issued_at"] == "2026-11-20T12:00:00.000000Z"
    assert document["seller"].startswith("Example Texts Ltd")


def test_closing_again_gives_the_same_invoice_and_books_once(venture: Venture) -> None:
    venture.add()
    venture.use(130)
    first = venture.bill()
    assert first.fresh
    venture.clock.advance(days=3)
    again = venture.bill()
    assert not again.fresh
    assert again == first
    assert again.text == first.text
    assert len(venture.rows(schema.invoices.select())) == 1
    assert len(venture.rows(schema.entries.select())) == 1


def test_new_usage_gives_a_further_invoice_with_only_what_is_new(venture: Venture) -> None:
    venture.add()
    venture.use(133)
    first = venture.bill()
    venture.use(5)  # dated before the first invoice, and seen after it
    venture.clock.at = time("2026-12-02")
    second = venture.bill()
    document = second.document()
    assert (first.kind, second.kind) == ("interim", "final")
    assert (second.sequence, second.number, second.units) == (2, "INV-2026-000002", 5)
    # To date 38 × 0.0125 = 0.475 rounds to 0.48, of which 0.41 is billed.
    assert lines(document) == [("Inputs from 101 on", 5, "0.07")]
    assert document["lines"][0]["to_date"] == {
        "quantity": 38,
        "amount": "0.48",
        "minor": 48,
    }
    assert document["usage"]["to_date"]["inputs"] == 138


def test_an_interim_invoice_with_nothing_after_it_stays_the_last_one(shop: Venture) -> None:
    shop.add()
    shop.use(5)
    interim = shop.bill()
    shop.clock.at = time("2026-12-05")
    assert shop.bill() == interim
    assert interim.kind == "interim"


def test_late_usage_of_a_closed_month_gives_one_more_final_invoice(shop: Venture) -> None:
    shop.add()
    shop.clock.at = time("2026-12-01")
    assert shop.bill().kind == "final"
    shop.use(200, "2026-11-30")
    late = shop.bill()
    assert (late.kind, late.sequence, late.net_minor) == ("final", 2, 125)
    december = shop.bill(period="2026-12")
    assert (december.net_minor, december.units) == (1900, 0)


def test_free_usage_is_invoiced_at_zero_with_its_units(venture: Venture) -> None:
    venture.add(plan=FREE)
    assert venture.close() is None
    venture.use(7)
    invoice = venture.bill()
    assert (invoice.total_minor, invoice.units) == (0, 7)
    assert lines(invoice.document()) == [("Inputs", 7, "0.00")]
    with venture.database.read() as connection:
        entry = find_entry(connection, "invoice:INV-2026-000001")
    assert [(p.account, p.amount_minor, p.units) for p in entry.postings] == [
        ("receivable", 0, 0),
        ("revenue", 0, 7),
    ]


def test_the_booking_balances_and_carries_units_and_tax(venture: Venture) -> None:
    venture.issuer = ISSUER
    venture.add()
    venture.use(133)
    invoice = venture.bill()
    with venture.database.read() as connection:
        entry = find_entry(connection, f"invoice:{invoice.number}")
    assert [(p.account, p.amount_minor, p.units, p.customer_id) for p in entry.postings] == [
        ("receivable", 2310, 0, "cus_North Bank"),
        ("revenue", -1941, 133, "cus_North Bank"),
        ("tax_payable", -369, 0, "cus_North Bank"),
    ]


@pytest.mark.parametrize(
    ("starts", "prorate", "description", "amount"),
    [
        ("2026-11-01T09:00", True, "Base fee, November 2026", "99.00"),
        ("2026-11-20", True, "Base fee, November 2026 (11 of 30 days)", "36.30"),
        ("2026-11-20T12:00", True, "Base fee, November 2026 (11 of 30 days)", "36.30"),
        ("2026-11-14", True, "Base fee, November 2026 (17 of 30 days)", "56.10"),
        ("2026-11-20", False, "Base fee, November 2026", "99.00"),
        ("2026-08-20", True, "Base fee, November 2026", "99.00"),
    ],
)
def test_the_first_months_fee_is_by_days(
    shop: Venture, starts: str, prorate: bool, description: str, amount: str
) -> None:
    shop.add(plan=replace(GROWTH, prorate=prorate), starts=starts)
    assert lines(shop.bill().document()) == [(description, 1, amount)]


def test_a_subscription_that_has_not_begun_is_not_billed(shop: Venture) -> None:
    shop.add(starts="2026-11-25")
    assert shop.close() is None
    assert shop.close(period="2026-10") is None
    shop.clock.at = time("2026-11-25")
    assert shop.bill().net_minor == 1900


def test_tokens_in_tiers_are_billed_with_units_in_inputs(shop: Venture) -> None:
    shop.add(plan=GROWTH)
    shop.use(50, tokens=7500)
    invoice = shop.bill()
    assert lines(invoice.document())[1:] == [
        ("Tokens covered by the base fee", 1000, "0.00"),
        ("Tokens 1,001 to 6,000", 5000, "10.50"),
        ("Tokens from 6,001 on", 1500, "1.95"),
    ]
    assert invoice.units == 50


def test_changing_the_plan_later_does_not_reprice(shop: Venture) -> None:
    shop.add()
    dearer = replace(STARTER, fee=Decimal("500.00"))
    shop.add("South Bank", plan=dearer)
    assert shop.bill("North Bank").net_minor == 1900
    assert shop.bill("South Bank").net_minor == 50000


def test_currencies_keep_their_own_decimals(shop: Venture) -> None:
    plan = replace(STARTER, included=0, price=Decimal("0.5"), fee=Decimal(0))
    for currency, amount in (("JPY", "2"), ("EUR", "1.50"), ("KWD", "1.500")):
        shop.add(currency, plan=plan, currency=currency)
        shop.use(3, customer=f"cus_{currency}")
        document = shop.bill(currency).document()
        assert (document["currency"], document["total"]["amount"]) == (currency, amount)


def test_numbers_have_no_gaps_and_start_anew_with_the_year(shop: Venture) -> None:
    for name in "abc":
        shop.add(name)
        shop.bill(name)
    shop.clock.at = time("2027-01-03")
    for name in "ab":
        shop.bill(name, "2027-01")
    assert [invoice.number for invoice in list_invoices(shop.database)] == [
        "INV-2026-000001",
        "INV-2026-000002",
        "INV-2026-000003",
        "INV-2027-000001",
        "INV-2027-000002",
    ]


def test_another_prefix_is_a_series_of_its_own(shop: Venture) -> None:
    shop.add("a")
    shop.add("b")
    shop.bill("a")
    shop.issuer = replace(PLAIN, prefix="NB")
    assert shop.bill("b").number == "NB-2026-000001"
    with pytest.raises(ProjectError, match="invoice_prefix is 'A-1'"):
        replace(PLAIN, prefix="A-1")
    with pytest.raises(ProjectError, match="tax_rate is -0"):
        replace(PLAIN, tax_rate=Decimal("-0.1"))


def test_a_future_period_and_an_unknown_customer_get_a_sentence(shop: Venture) -> None:
    shop.add()
    with pytest.raises(InputError, match="2026-12 has not begun"):
        shop.close(period="2026-12")
    with pytest.raises(InputError, match="has not begun"):
        close_all(shop.database, parse_period("2027-01"), shop.clock, PLAIN)
    with pytest.raises(NotFoundError, match="no customer 'East Bank'"):
        shop.close("East Bank")
    with pytest.raises(NotFoundError, match="no invoice 'INV-2026-000009'"):
        get(shop.database, "INV-2026-000009")


def test_usage_that_vanished_is_not_silently_credited(shop: Venture) -> None:
    shop.add()
    shop.use(10)
    shop.use(20)
    shop.bill()
    shop.run(schema.usage_events.delete().where(schema.usage_events.c.inputs == 20))
    with pytest.raises(ConflictError, match=r"billed for 30 inputs .* only 10"):
        shop.close()


def test_one_customer_in_trouble_does_not_keep_the_others_from_being_billed(shop: Venture) -> None:
    for name in "abc":
        shop.add(name)
        shop.use(10, customer=f"cus_{name}")
    shop.bill("b")
    shop.run(schema.usage_events.delete().where(schema.usage_events.c.customer_id == "cus_b"))
    with pytest.raises(ConflictError, match="1 of the customers could not be billed: b was"):
        close_all(shop.database, parse_period("2026-11"), shop.clock, PLAIN)
    assert {i.customer_id for i in list_invoices(shop.database)} == {"cus_a", "cus_b", "cus_c"}


def test_a_changed_document_is_never_billed_on(shop: Venture) -> None:
    shop.add()
    shop.use(10)
    shop.bill()
    table = schema.invoices
    shop.run(table.update().values(document=table.c.document + " "))
    with pytest.raises(IntegrityError, match="not what was recorded"):
        shop.close()


def test_closing_everybody_tells_of_each(venture: Venture) -> None:
    for name in ("a", "b", "c"):
        venture.add(name, plan=STARTER if name != "b" else FREE)
    heard: list[tuple[str, bool]] = []
    issued = close_all(
        venture.database,
        parse_period("2026-11"),
        venture.clock,
        PLAIN,
        on_invoice=lambda customer, invoice: heard.append((customer.name, invoice is not None)),
    )
    assert heard == [("a", True), ("b", False), ("c", True)]
    assert [invoice.customer_id for invoice in issued] == ["cus_a", "cus_c"]
    assert close_all(venture.database, parse_period("2026-11"), venture.clock, PLAIN) == issued
    assert (
        list_invoices(venture.database, customer_id="cus_a", period=parse_period("2026-11"))
        == issued[:1]
    )


def test_what_is_outstanding_is_what_the_next_invoice_holds(shop: Venture) -> None:
    customer = shop.add()
    shop.use(130)
    period = parse_period("2026-11")

    def net() -> int:
        with shop.database.read() as connection:
            owed = outstanding(connection, customer, period, shop.clock.now())
        assert owed is not None
        return owed.net_minor

    assert net() == 1938
    assert shop.bill().net_minor == 1938
    assert net() == 0


def test_a_subscription_that_follows_another_is_a_line_of_its_own(shop: Venture) -> None:
    shop.add(plan=replace(STARTER, included=0))
    taken = schema.subscriptions
    shop.run(taken.update().values(ends_at="2026-11-10T00:00:00.000000Z"))
    (row,) = shop.rows(taken.select())
    later = {**row._mapping, "id": "sub_2", "starts_at": row.ends_at, "ends_at": None}
    shop.run(taken.insert().values(**later))
    shop.use(10, "2026-11-09T23:00")
    shop.use(20, "2026-11-10T00:00")
    document = shop.bill().document()
    assert [(line["subscription"], line["quantity"]) for line in document["lines"]] == [
        ("sub_North Bank", 1),
        ("sub_North Bank", 10),
        ("sub_2", 1),
        ("sub_2", 20),
    ]


def test_usage_outside_a_subscription_is_not_billed(shop: Venture) -> None:
    shop.add(starts="2026-11-10")
    shop.use(50, "2026-11-09T23:59")
    shop.use(7, "2026-11-10T00:00")
    assert shop.bill().units == 7


def test_the_document_is_canonical_and_hashed(shop: Venture) -> None:
    shop.add("北方银行")
    invoice = shop.bill("北方银行")
    assert digest_of(invoice.text) == invoice.digest
    again = msgspec.json.encode(msgspec.json.decode(invoice.text), order="sorted").decode()
    assert again == invoice.text
    assert "北方银行" in invoice.text
    assert get(shop.database, invoice.number) == invoice


def test_chinese_invoices_speak_chinese(shop: Venture) -> None:
    shop.issuer = replace(PLAIN, language="zh")
    shop.add("北方银行", plan=replace(GROWTH, prorate=True), starts="2026-11-16")
    shop.use(50, "2026-11-17", tokens=7500, customer="cus_北方银行")
    described = [line["description"] for line in shop.bill("北方银行").document()["lines"]]
    assert described == [
        "基本费，2026年11月（15/30 天）",
        "基本费已包含的词元数",
        "第 1,001 至 6,000 词元",
        "第 6,001 词元起",
    ]
