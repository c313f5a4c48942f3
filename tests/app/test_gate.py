"""The server's gate onto a project's database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from freehold.app.sell import ProjectGate
from freehold.bill.customers import add_customer
from freehold.clock import ManualClock
from freehold.errors import AuthError, ForbiddenError
from freehold.project import PlanTerms
from freehold.serve.keys import create_key, revoke_key
from freehold.store.database import Database

PLAN = PlanTerms(name="starter", fee=Decimal(19))


def test_who_has_a_running_subscription_is_admitted(sqlite: Database) -> None:
    clock = ManualClock()
    customer = add_customer(sqlite, "North Bank", PLAN, clock, currency="EUR")
    _, key = create_key(sqlite, customer.id, clock)
    gate = ProjectGate(sqlite, clock, "srv_1")
    assert gate.remembered(key) is None
    assert gate.authenticate(key).customer_id == customer.id
    remembered = gate.remembered(key)
    assert remembered is not None
    assert remembered.customer_id == customer.id


def test_before_the_start_there_is_no_answer_since_it_would_have_no_price(
    sqlite: Database,
) -> None:
    clock = ManualClock()
    starts = clock.now() + timedelta(days=3)
    customer = add_customer(sqlite, "North Bank", PLAN, clock, currency="EUR", starts=starts)
    _, key = create_key(sqlite, customer.id, clock)
    gate = ProjectGate(sqlite, clock, "srv_1")
    for _ in range(2):
        assert gate.remembered(key) is None
        with pytest.raises(ForbiddenError, match="no running subscription"):
            gate.authenticate(key)
    clock.advance(days=3)
    assert gate.authenticate(key).customer_id == customer.id


def test_a_revoked_key_is_refused_once_it_is_forgotten(sqlite: Database) -> None:
    clock = ManualClock()
    customer = add_customer(sqlite, "North Bank", PLAN, clock, currency="EUR")
    key_id, key = create_key(sqlite, customer.id, clock)
    gate = ProjectGate(sqlite, clock, "srv_1")
    gate.authenticate(key)
    revoke_key(sqlite, key_id, clock)
    clock.advance(seconds=10)
    with pytest.raises(AuthError, match="unknown or revoked"):
        gate.authenticate(key)
