"""Customers and their subscriptions."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from venture import STARTER, Venture, time

from freehold.bill.customers import active, add_customer, find, list_customers
from freehold.bill.periods import parse_period
from freehold.errors import ConflictError, InputError, NotFoundError, ProjectError
from freehold.store import schema


def test_a_customer_is_added_with_its_plan_frozen(venture: Venture) -> None:
    customer = add_customer(
        venture.database, "  North \t Bank ", STARTER, venture.clock, currency="EUR"
    )
    assert customer.name == "North Bank"
    assert customer.id.startswith("cus_")
    assert customer.plan == "starter"
    (taken,) = customer.subscriptions
    assert taken.terms == STARTER
    assert taken.currency == "EUR"
    assert taken.starts_at == venture.clock.now()
    assert find(venture.database, customer.id) == customer
    assert find(venture.database, "North Bank") == customer


def test_customers_are_listed_by_name(venture: Venture) -> None:
    for name in ("b", "Émile", "a", "北方银行"):
        venture.add(name)
    assert [c.name for c in list_customers(venture.database)] == ["a", "b", "Émile", "北方银行"]
    assert all(len(c.subscriptions) == 1 for c in list_customers(venture.database))


def test_a_name_that_is_taken_gets_a_sentence_and_adds_nothing(venture: Venture) -> None:
    venture.add("North Bank")
    with pytest.raises(ConflictError, match="already a customer 'North Bank'"):
        add_customer(venture.database, "North  Bank", STARTER, venture.clock, currency="EUR")
    assert len(list_customers(venture.database)) == 1
    assert len(venture.rows(schema.subscriptions.select())) == 1


def test_the_same_name_in_another_normal_form_is_the_same_name(shop: Venture) -> None:
    shop.add("Café")
    with pytest.raises(ConflictError, match="already"):
        add_customer(shop.database, "Cafe\u0301", STARTER, shop.clock, currency="EUR")


@pytest.mark.parametrize(("name", "message"), [("  ", "empty"), ("a\x00b", "cannot be printed"),
                                               ("x" * 201, "201 characters")])  # fmt: skip
def test_what_is_not_a_name_gets_a_sentence(shop: Venture, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        add_customer(shop.database, name, STARTER, shop.clock, currency="EUR")


def test_bad_terms_leave_no_customer_behind(shop: Venture) -> None:
    with pytest.raises(ProjectError, match="negative"):
        shop.add(plan=replace(STARTER, fee=Decimal(-1)))
    assert list_customers(shop.database) == []


def test_a_start_without_a_time_zone_is_refused(shop: Venture) -> None:
    with pytest.raises(InputError, match="no time zone"):
        add_customer(
            shop.database, "a", STARTER, shop.clock, currency="EUR", starts=datetime(2026, 1, 1)
        )


def test_an_unknown_customer_gets_a_sentence(shop: Venture) -> None:
    with pytest.raises(NotFoundError, match="no customer 'South Bank'"):
        find(shop.database, "South Bank")


def test_a_subscription_is_active_from_its_start_to_its_end(shop: Venture) -> None:
    customer = shop.add(starts="2026-11-10")
    shop.run(schema.subscriptions.update().values(ends_at="2026-11-20T00:00:00.000000Z"))
    (taken,) = find(shop.database, customer.id).subscriptions
    with shop.database.read() as connection:
        assert active(connection, customer.id, time("2026-11-09T23:59")) is None
        assert active(connection, customer.id, time("2026-11-10")) == taken
        assert active(connection, customer.id, time("2026-11-20")) is None
        assert active(connection, "cus_unknown", time("2026-11-10")) is None
    assert taken.touches(parse_period("2026-11"))
    assert not taken.touches(parse_period("2026-10"))
    assert not taken.touches(parse_period("2026-12"))
