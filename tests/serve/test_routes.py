"""Who is answered by a canary: the same ones on every server, and about as many as was said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from releasing import VersionEngine

from freehold.errors import NotFoundError
from freehold.registry import Terms, Trial
from freehold.registry.wanted import Wanted
from freehold.serve.ports import Caller
from freehold.serve.routes import Canary, Table, position, table_of


def trial(version: int = 2, kind: str = "canary", **terms: Any) -> Trial:
    return Trial(1, "bank", version, kind, 1, Terms(**terms), "2026-01-01", None, None)


def who(number: int) -> Caller:
    return Caller(f"cus_{number}", f"key_{number % 100}")


def test_the_place_of_a_customer_is_the_first_four_bytes_of_a_sha256() -> None:
    # printf 'bank@2:cus_1' | sha256sum
    assert f"{position('bank@2', 'cus_1'):08x}" == "fbad6f72"


def test_a_share_is_sticky_and_grows_without_sending_anybody_back() -> None:
    engine = VersionEngine(2)
    ten, half = Canary(engine, trial(share=1000)), Canary(engine, trial(share=5000))
    some = {number for number in range(5000) if ten.gets(who(number))}
    assert 430 < len(some) < 570
    assert some == {number for number in range(5000) if ten.gets(who(number))}
    more = {number for number in range(5000) if half.gets(who(number))}
    assert some < more
    assert 2350 < len(more) < 2650
    # Another canary is given to others.
    other = Canary(engine, replace(trial(share=1000), version=3))
    assert some != {number for number in range(5000) if other.gets(who(number))}


def test_a_share_of_keys_and_of_requests() -> None:
    engine = VersionEngine(2)
    keys = Canary(engine, trial(share=5000, sticky="key"))
    sides = {(who(n).key_id, keys.gets(who(n))) for n in range(1000)}
    assert len(sides) == 100  # each key has one side
    requests = Canary(engine, trial(share=5000, sticky="request"))
    assert 4600 < sum(requests.gets(who(1)) for _ in range(10_000)) < 5400


def test_named_customers_get_it_in_any_case() -> None:
    canary = Canary(VersionEngine(2), trial(customers=("cus_7",)))
    assert [number for number in range(50) if canary.gets(who(number))] == [7]


def test_what_cannot_be_opened_is_left_out_and_the_old_one_goes_on() -> None:
    one, two, three = (VersionEngine(number) for number in (1, 2, 3))
    before = Table.of({"bank": one})
    wanted = [
        Wanted("bank", 2, 20, "live"),
        Wanted("bank", 3, 30, "canary", trial(3, share=10_000)),
        Wanted("shop", 1, 40, "live"),
    ]
    table = table_of(wanted, {}, before, {"bank@2": "it is broken"})
    assert table.route("bank").engine(who(1)) is one
    assert table.troubles == {"bank@2": "it is broken"}
    with pytest.raises(NotFoundError, match="loaded: bank, bank@1"):
        table.route("shop")
    table = table_of(wanted, {("bank", 2, 20): two, ("bank", 3, 30): three}, table, {})
    assert table.route("bank").live is two
    assert table.route("bank").engine(who(1)) is three
    assert table.route("bank@2").engine(who(1)) is two
    with pytest.raises(NotFoundError):
        table.route("bank@1")
