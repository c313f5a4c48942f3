"""Keys are stored as digests, shown once, and die when they are revoked."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from serving import add_customer, rows

from freehold.clock import ManualClock
from freehold.errors import AuthError, ConflictError, NotFoundError, StoreError
from freehold.serve.keys import KeyRing, create_key, list_keys, revoke_key
from freehold.store import schema
from freehold.store.database import Database

clock = ManualClock()


def test_a_key_is_stored_as_digest_and_prefix(database: Database) -> None:
    add_customer(database)
    key_id, key = create_key(database, "cus_1", clock)
    assert key.startswith("fh_")
    assert len(key) >= 3 + 32
    stored = next(row for row in rows(database, schema.api_keys) if row.id == key_id)
    assert stored.prefix == key[:10]
    assert key[10:] not in repr(stored)
    assert len(stored.digest) == 64
    assert stored.revoked_at is None


def test_keys_differ_and_belong_to_their_customer(database: Database) -> None:
    first, second = add_customer(database), add_customer(database, "cus_2")
    assert first != second
    ring = KeyRing(database)
    assert ring.authenticate(first).customer_id == "cus_1"
    caller = ring.authenticate(second)
    assert caller.customer_id == "cus_2"
    assert ring.remembered(second) == caller
    assert [info.id for info in list_keys(database, "cus_2")] == [caller.key_id]
    assert {info.customer_id for info in list_keys(database)} == {"cus_1", "cus_2"}


def test_a_key_for_nobody_is_refused(sqlite: Database) -> None:
    with pytest.raises(NotFoundError, match="no customer 'nobody'"):
        create_key(sqlite, "nobody", clock)


@pytest.mark.parametrize(
    "token",
    ["", "fh_", "secret", "fh_" + "a" * 31, "fh_" + "a" * 500, "fh_" + "é" * 40, "fh_ " + "a" * 40],
)
def test_malformed_keys_do_not_reach_the_database(sqlite: Database, token: str) -> None:
    ring = KeyRing(sqlite)
    sqlite.close()
    with pytest.raises(AuthError) as refused:
        ring.authenticate(token)
    assert len(token) < 5 or token not in refused.value.sentence()


def test_an_unknown_key_is_refused_without_showing_it(database: Database) -> None:
    token = "fh_" + "a" * 43
    ring = KeyRing(database)
    for _ in range(2):  # asked, then remembered
        with pytest.raises(AuthError, match="unknown or revoked") as refused:
            ring.authenticate(token)
        assert "aaaa" not in refused.value.sentence()
    with pytest.raises(AuthError):
        ring.remembered(token)


def test_a_revoked_key_dies_within_the_ttl(database: Database) -> None:
    key = add_customer(database)
    now = ManualClock()
    ring = KeyRing(database, ttl=2.0, clock=now)
    ring.authenticate(key)
    revoked = revoke_key(database, key[:10], now)
    assert revoked.revoked_at == now.now()
    assert ring.authenticate(key).customer_id == "cus_1"  # still remembered
    now.advance(seconds=2)
    assert ring.remembered(key) is None
    with pytest.raises(AuthError):
        ring.authenticate(key)
    with pytest.raises(AuthError):  # from memory now
        ring.remembered(key)


def test_a_new_key_works_although_it_was_refused_before(sqlite: Database) -> None:
    now = ManualClock()
    ring = KeyRing(sqlite, ttl=2.0, clock=now)
    key = add_customer(sqlite)
    digest = rows(sqlite, schema.api_keys)[0].digest
    with sqlite.write() as connection:
        connection.execute(schema.api_keys.update().values(digest="0" * 64))
    with pytest.raises(AuthError):
        ring.authenticate(key)
    with sqlite.write() as connection:
        connection.execute(schema.api_keys.update().values(digest=digest))
    now.advance(seconds=2)
    assert ring.authenticate(key).customer_id == "cus_1"


def test_the_memory_of_refused_keys_is_bounded(sqlite: Database) -> None:
    ring = KeyRing(sqlite, clock=ManualClock())
    tokens = [f"fh_{number:043d}" for number in range(1100)]
    for token in tokens:
        with pytest.raises(AuthError):
            ring.authenticate(token)
    assert len(ring._refused) == 1000
    assert ring.remembered(tokens[0]) is None  # forgotten, so it would be asked again


def test_revoking(database: Database) -> None:
    key = add_customer(database)
    (info,) = list_keys(database)
    now = ManualClock()
    first = revoke_key(database, info.id, now)
    now.advance(seconds=5)
    assert revoke_key(database, key[:10], now) == first
    assert list_keys(database) == [first]
    assert first.document()["revoked_at"] is not None
    assert {"key_id", "customer", "prefix", "created_at", "revoked_at"} < set(first.document())
    with pytest.raises(NotFoundError) as missing:
        revoke_key(database, "fh_nothing_of_the_kind", now)
    assert "of_the_kind" not in missing.value.sentence()  # whole keys are not echoed either


def test_a_shared_prefix_is_not_guessed(sqlite: Database) -> None:
    add_customer(sqlite)
    create_key(sqlite, "cus_1", clock)
    with sqlite.write() as connection:
        connection.execute(sa.update(schema.api_keys).values(prefix="fh_same123"))
    with pytest.raises(ConflictError, match="2 keys"):
        revoke_key(sqlite, "fh_same123", clock)


def test_without_a_database_nobody_is_let_in(sqlite: Database) -> None:
    now = ManualClock(elapsed=timedelta(days=1).total_seconds())
    ring = KeyRing(sqlite, clock=now)
    with sqlite.write() as connection:
        connection.execute(sa.text("DROP TABLE api_keys"))
    with pytest.raises(StoreError):
        ring.authenticate("fh_" + "a" * 43)
    with pytest.raises(StoreError):  # a failure is not remembered as a refusal
        ring.authenticate("fh_" + "a" * 43)
