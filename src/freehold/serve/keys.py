"""API keys: shown once, stored as a digest and a visible prefix, revocable within seconds."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Row

from freehold.clock import Clock, SystemClock, format_time, parse_time
from freehold.errors import AuthError, ConflictError, NotFoundError
from freehold.serve.ports import Caller
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["KeyInfo", "KeyRing", "create_key", "list_keys", "revoke_key"]

PREFIX_LENGTH = 10
_KEY = re.compile(r"fh_[A-Za-z0-9_-]{32,128}")
_REMEMBERED = 10_000
_REFUSED = 1_000
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown: never the key itself."""

    id: str
    customer_id: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None

    def document(self) -> dict[str, Any]:
        return {
            "key_id": self.id,
            "customer": self.customer_id,
            "prefix": self.prefix,
            "created_at": format_time(self.created_at),
            "revoked_at": format_time(self.revoked_at) if self.revoked_at else None,
        }


def create_key(database: Database, customer_id: str, clock: Clock) -> tuple[str, str]:
    """A new key of a customer, as (key id, key); the key is stored nowhere and shown only here.

    Raises NotFoundError if there is no such customer.
    """
    key = f"fh_{secrets.token_urlsafe(32)}"
    key_id = f"key_{secrets.token_hex(10)}"
    with database.write() as connection:
        customers = schema.customers
        if not connection.scalar(sa.select(customers.c.id).where(customers.c.id == customer_id)):
            raise NotFoundError(
                f"There is no customer {customer_id!r}.",
                hint="`freehold customer list` shows those there are.",
            )
        connection.execute(
            schema.api_keys.insert(),
            {
                "id": key_id,
                "customer_id": customer_id,
                "prefix": key[:PREFIX_LENGTH],
                "digest": _digest(key),
                "created_at": format_time(clock.now()),
                "revoked_at": None,
            },
        )
    return key_id, key


def revoke_key(database: Database, reference: str, clock: Clock) -> KeyInfo:
    """Revoke the key with this id or visible prefix; one that is revoked already stays as it is.

    Running servers refuse it once their memory of it has run out (KeyRing's `ttl`). Raises
    NotFoundError, or ConflictError if several keys share the prefix.
    """
    table = schema.api_keys
    with database.write() as connection:
        rows = connection.execute(
            sa.select(table).where(sa.or_(table.c.id == reference, table.c.prefix == reference))
        ).all()
        if not rows:
            raise NotFoundError(
                f"There is no key with the id or prefix {reference[:PREFIX_LENGTH]!r}.",
                hint="`freehold key list` shows ids and prefixes.",
            )
        if len(rows) > 1:
            raise ConflictError(
                f"{len(rows)} keys begin with {reference!r}.", hint="Name the key by its id."
            )
        info = _info(rows[0])
        if info.revoked_at is None:
            now = format_time(clock.now())
            connection.execute(table.update().where(table.c.id == info.id).values(revoked_at=now))
            info = KeyInfo(info.id, info.customer_id, info.prefix, info.created_at, parse_time(now))
        return info


def list_keys(database: Database, customer_id: str | None = None) -> list[KeyInfo]:
    """Every key (of one customer), oldest first, revoked ones too."""
    table = schema.api_keys
    query = sa.select(table).order_by(table.c.created_at, table.c.id)
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    with database.read() as connection:
        return [_info(row) for row in connection.execute(query)]


class KeyRing:
    """Answers who a key belongs to, remembering for `ttl` seconds: a revocation takes that long.

    Keys that were refused are remembered too, up to a bound, so that a client that repeats a bad
    key does not reach the database each time. Safe to use from several threads.
    """

    def __init__(self, database: Database, *, ttl: float = 2.0, clock: Clock | None = None) -> None:
        self._database = database
        self._ttl = ttl
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()

    def remembered(self, token: str) -> Caller | None:
        """The caller, from memory; None: ask `authenticate`. Raises AuthError."""
        digest = _digest(_well_formed(token))
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            return known[1]
        refused = self._refused.get(digest)
        if refused is not None and now < refused:
            raise _unknown()
        return None

    def authenticate(self, token: str) -> Caller:
        """The caller, asking the database if need be. Raises AuthError and StoreError."""
        caller = self.remembered(token)
        if caller is not None:
            return caller
        digest = _digest(token)
        # Taken before the look-up, so that the memory of it ends within the ttl of a revocation.
        until = self._clock.monotonic() + self._ttl
        caller = self._look_up(digest)
        with self._lock:
            if caller is None:
                self._known.pop(digest, None)
                _remember(self._refused, digest, until, _REFUSED)
            else:
                self._refused.pop(digest, None)
                _remember(self._known, digest, (until, caller), _REMEMBERED)
        if caller is None:
            raise _unknown()
        return caller

    def _look_up(self, digest: str) -> Caller | None:
        table = schema.api_keys
        query = sa.select(table.c.id, table.c.customer_id, table.c.digest).where(
            table.c.digest == digest, table.c.revoked_at.is_(None)
        )
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        # The index compared digests, whose bytes an attacker cannot choose; this compares in
        # constant time what it found.
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        return Caller(customer_id=row.customer_id, key_id=row.id)


def _remember(memory: OrderedDict[str, _V], digest: str, value: _V, bound: int) -> None:
    memory[digest] = value
    memory.move_to_end(digest)
    while len(memory) > bound:
        memory.popitem(last=False)


def _well_formed(token: str) -> str:
    if not _KEY.fullmatch(token):
        raise AuthError(
            "The API key is malformed.", hint="A key begins with fh_ and is sent as it was given."
        )
    return token


def _unknown() -> AuthError:
    return AuthError("The API key is unknown or revoked.", hint="Ask the API's owner for a key.")


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _info(row: Row[Any]) -> KeyInfo:
    return KeyInfo(
        id=row.id,
        customer_id=row.customer_id,
        prefix=row.prefix,
        created_at=parse_time(row.created_at),
        revoked_at=parse_time(row.revoked_at) if row.revoked_at else None,
    )
