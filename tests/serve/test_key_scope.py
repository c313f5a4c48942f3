"""Keys for some models, keys that end, and keys that are rotated."""

from __future__ import annotations

from datetime import timedelta

import pytest
from serving import add_customer

from freehold.clock import ManualClock, parse_span
from freehold.errors import AuthError, ConflictError, ForbiddenError, InputError
from freehold.serve.keys import (
    KeyRing,
    create_key,
    list_keys,
    parse_models,
    revoke_key,
    rotate_key,
)
from freehold.serve.ports import Caller
from freehold.store.database import Database


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def book(database: Database) -> Database:
    add_customer(database)
    return database


def test_a_key_is_for_the_models_that_it_names(book: Database, clock: ManualClock) -> None:
    _, key = create_key(book, "cus_1", clock, models=parse_models("bank, news@3"))
    caller = KeyRing(book, clock=clock).authenticate(key)
    assert caller.models == {"bank", "news@3"}
    for model, version, may in (
        ("bank", 1, True),
        ("bank", 7, True),
        ("news", 3, True),
        ("news", 4, False),
        ("news", 33, False),
        ("other", 1, False),
    ):
        assert caller.may(model, version) is may
    with pytest.raises(ForbiddenError, match=r"not for model news@4.* It is for: bank, news@3"):
        try:
            caller.require("news", 4)
        except ForbiddenError as error:
            raise ForbiddenError(error.sentence()) from None
    assert Caller("c", "k").may("anything", 1)


@pytest.mark.parametrize("text", ["", "bank,", "bank@0", "bank@x", "@1", "ba nk", "bank@1@2"])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="neither MODEL nor MODEL@VERSION"):
        parse_models(text)


def test_a_key_ends(book: Database, clock: ManualClock) -> None:
    ends = clock.now() + timedelta(seconds=1)
    _, key = create_key(book, "cus_1", clock, expires_at=ends)
    ring = KeyRing(book, ttl=60, clock=clock)
    assert ring.authenticate(key).until == ends
    clock.advance(seconds=0.5)
    assert ring.remembered(key) is not None
    clock.advance(seconds=0.5)  # to the instant, though it is remembered for longer
    assert ring.remembered(key) is None
    for _ in range(2):
        with pytest.raises(AuthError, match="The API key expired on 2026-01-01 00:00 UTC"):
            ring.authenticate(key)
    with pytest.raises(AuthError, match="expired"):  # from memory
        ring.remembered(key)
    with pytest.raises(InputError, match="expired at once"):
        create_key(book, "cus_1", clock, expires_at=clock.now())


def test_rotation(book: Database, clock: ManualClock) -> None:
    ends = clock.now() + timedelta(days=90)
    key_id, key = create_key(book, "cus_1", clock, models=["bank"], expires_at=ends)
    ring = KeyRing(book, clock=clock)
    clock.advance(days=30)
    old, new, made = rotate_key(book, key_id, clock, overlap=timedelta(hours=24))
    assert (old.id, old.replaced_by) == (key_id, new.id)
    assert old.expires_at == clock.now() + timedelta(hours=24)
    assert new.expires_at == clock.now() + timedelta(days=90)
    assert new.models == old.models == ("bank",)
    assert new.line == old.line == key_id
    both = [ring.authenticate(token) for token in (key, made)]
    assert [caller.key_id for caller in both] == [key_id, new.id]
    assert both[0].models == both[1].models == {"bank"}
    with pytest.raises(ConflictError, match="rotated before"):
        rotate_key(book, key_id, clock, overlap=timedelta(0))
    clock.advance(hours=24)
    with pytest.raises(AuthError, match="expired"):
        ring.authenticate(key)
    assert ring.authenticate(made).key_id == new.id
    _, third, _ = rotate_key(book, made[:10], clock, overlap=timedelta(0))
    assert third.line == key_id
    with pytest.raises(AuthError, match="expired"):
        KeyRing(book, clock=clock).authenticate(made)


def test_an_old_key_does_not_live_longer_for_being_rotated(
    book: Database, clock: ManualClock
) -> None:
    ends = clock.now() + timedelta(hours=1)
    key_id, _ = create_key(book, "cus_1", clock, expires_at=ends)
    old, _, _ = rotate_key(book, key_id, clock, overlap=timedelta(days=7))
    assert old.expires_at == ends


def test_what_is_not_valid_is_not_rotated(book: Database, clock: ManualClock) -> None:
    key_id, _ = create_key(book, "cus_1", clock, expires_at=clock.now() + timedelta(hours=1))
    with pytest.raises(InputError, match="negative"):
        rotate_key(book, key_id, clock, overlap=timedelta(seconds=-1))
    clock.advance(hours=2)
    with pytest.raises(ConflictError, match="is expired"):
        rotate_key(book, key_id, clock, overlap=timedelta(0))
    revoke_key(book, key_id, clock)
    with pytest.raises(ConflictError, match="is revoked"):
        rotate_key(book, key_id, clock, overlap=timedelta(0))
    assert {key.state(clock.now()) for key in list_keys(book)} == {"valid", "revoked"}


def test_spans() -> None:
    assert parse_span("90d") == timedelta(days=90)
    assert parse_span(" 24h ") == timedelta(hours=24)
    for text in ("", "h", "1.5h", "-1d", "24", "1y", "1000000d"):
        with pytest.raises(InputError, match="not a span"):
            parse_span(text)
