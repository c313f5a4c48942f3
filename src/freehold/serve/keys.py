"""API keys: shown once, stored as a digest and a visible prefix, scoped to models, with an end;
revocable within seconds, rotated with an overlap."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.clock import Clock, SystemClock, format_time, parse_time
from freehold.errors import AuthError, ConflictError, InputError, NotFoundError
from freehold.serve.ports import Caller
from freehold.store import schema
from freehold.store.database import Database

__all__ = [
    "KeyInfo",
    "KeyRing",
    "create_key",
    "find_key",
    "list_keys",
    "parse_models",
    "revoke_key",
    "rotate_key",
]

PREFIX_LENGTH = 10
_KEY = re.compile(r"fh_[A-Za-z0-9_-]{32,128}")
_MODEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}(@[1-9]\d{0,8})?")
_REMEMBERED = 10_000
_REFUSED = 1_000
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown: never the key itself.

    `models`: MODEL or MODEL@VERSION, empty for all. `replaced_by` is the key that it was rotated
    to, `line` the first key of those that were rotated to this one (itself, if it is the first).
    """

    id: str
    customer_id: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None
    models: tuple[str, ...]
    expires_at: datetime | None
    replaced_by: str | None
    line: str

    def state(self, now: datetime) -> str:
        """valid, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"

    def document(self) -> dict[str, Any]:
        return {
            "key_id": self.id,
            "customer": self.customer_id,
            "prefix": self.prefix,
            "created_at": format_time(self.created_at),
            "revoked_at": format_time(self.revoked_at) if self.revoked_at else None,
            "models": list(self.models) or None,
            "expires_at": format_time(self.expires_at) if self.expires_at else None,
            "replaced_by": self.replaced_by,
        }


def parse_models(text: str) -> tuple[str, ...]:
    """`bank,bank@3` -> ("bank", "bank@3"). Raises InputError for what names no model."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if not _MODEL.fullmatch(name):
            raise InputError(
                f"{name!r} is neither MODEL nor MODEL@VERSION.",
                hint="Write a list without spaces, such as bank,news@3.",
            )
    return names


def create_key(
    database: Database,
    customer_id: str,
    clock: Clock,
    *,
    models: Sequence[str] = (),
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """A new key of a customer, as (key id, key); the key is stored nowhere and shown only here.

    `models`: MODEL or MODEL@VERSION, nothing for all. Raises NotFoundError if there is no such
    customer, InputError for an end that is not ahead.
    """
    now = clock.now()
    if expires_at is not None and expires_at <= now:
        raise InputError("The key would be expired at once.", hint="Choose an end that is ahead.")
    with database.write() as connection:
        customers = schema.customers
        if not connection.scalar(sa.select(customers.c.id).where(customers.c.id == customer_id)):
            raise NotFoundError(
                f"There is no customer {customer_id!r}.",
                hint="`freehold customer list` shows those there are.",
            )
        return _insert(connection, customer_id, now, models, expires_at)


def revoke_key(database: Database, reference: str, clock: Clock) -> KeyInfo:
    """Revoke the key with this id or visible prefix; one that is revoked already stays as it is.

    Running servers refuse it once their memory of it has run out (KeyRing's `ttl`). Raises
    NotFoundError, or ConflictError if several keys share the prefix.
    """
    with database.write() as connection:
        info = find_key(connection, reference)
        if info.revoked_at is None:
            now = format_time(clock.now())
            table = schema.api_keys
            connection.execute(table.update().where(table.c.id == info.id).values(revoked_at=now))
            info = replace(info, revoked_at=parse_time(now))
        return info


def rotate_key(
    database: Database, reference: str, clock: Clock, *, overlap: timedelta
) -> tuple[KeyInfo, KeyInfo, str]:
    """A new key in place of one (by id or visible prefix), as (old, new, new key).

    The new key has the same models and limits, and lasts as long from now on as the old one was
    made to last. The old one ends after `overlap`, or at its own end if that is sooner. Raises
    NotFoundError, InputError for a negative overlap, ConflictError for a key that is not valid any
    more or was rotated before.
    """
    if overlap < timedelta(0):
        raise InputError("The overlap is negative.", hint="Write how long both keys work: 24h.")
    now = clock.now()
    with database.write() as connection:
        old = find_key(connection, reference)
        database.lock(connection, f"key:{old.id}")
        old = find_key(connection, old.id)
        if old.replaced_by is not None:
            raise ConflictError(
                f"{old.prefix}... was rotated before.",
                hint=f"Rotate its successor, {old.replaced_by}.",
            )
        if (state := old.state(now)) != "valid":
            raise ConflictError(
                f"{old.prefix}... is {state}.", hint="`freehold key add` makes a new key."
            )
        ends = now + (old.expires_at - old.created_at) if old.expires_at else None
        key_id, key = _insert(connection, old.customer_id, now, old.models, ends, line=old.line)
        last = min(now + overlap, old.expires_at or now + overlap)
        table = schema.api_keys
        connection.execute(
            table.update()
            .where(table.c.id == old.id)
            .values(replaced_by=key_id, expires_at=format_time(last))
        )
        return find_key(connection, old.id), find_key(connection, key_id), key


def list_keys(database: Database, customer_id: str | None = None) -> list[KeyInfo]:
    """Every key (of one customer), oldest first, revoked ones too."""
    table = schema.api_keys
    query = sa.select(table).order_by(table.c.created_at, table.c.id)
    if customer_id is not None:
        query = query.where(table.c.customer_id == customer_id)
    with database.read() as connection:
        return [_info(row) for row in connection.execute(query)]


def find_key(connection: Connection, reference: str) -> KeyInfo:
    """The key with this id or visible prefix. Raises NotFoundError and ConflictError."""
    table = schema.api_keys
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
    return _info(rows[0])


class KeyRing:
    """Answers who a key belongs to, remembering for `ttl` seconds: a revocation takes that long.

    Keys that were refused are remembered too, up to a bound, so that a client that repeats a bad
    key does not reach the database each time. Safe to use from several threads.
    """

    def __init__(
        self,
        database: Database,
        *,
        ttl: float = 2.0,
        clock: Clock | None = None,
        complete: Callable[[Connection, Caller, str], Caller] | None = None,
    ) -> None:
        """`complete` gets the caller of a good key, with the first key of its line, and may add to
        it, or refuse it by raising (which is not remembered)."""
        self._database = database
        self._complete = complete
        self._ttl = ttl
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._refused: OrderedDict[str, tuple[float, str | None]] = OrderedDict()

    def remembered(self, token: str) -> Caller | None:
        """The caller, from memory; None: ask `authenticate`. Raises AuthError."""
        digest = _digest(_well_formed(token))
        now = self._clock.monotonic()
        known = self._known.get(digest)
        if known is not None and now < known[0]:
            caller = known[1]
            return caller if caller.until is None or self._clock.now() < caller.until else None
        refused = self._refused.get(digest)
        if refused is not None and now < refused[0]:
            raise _worthless(refused[1])
        return None

    def authenticate(self, token: str) -> Caller:
        """The caller, asking the database if need be. Raises AuthError and StoreError."""
        caller = self.remembered(token)
        if caller is not None:
            return caller
        digest = _digest(token)
        # Taken before the look-up, so that the memory of it ends within the ttl of a revocation.
        until = self._clock.monotonic() + self._ttl
        found = self._look_up(digest)
        with self._lock:
            if isinstance(found, Caller):
                self._refused.pop(digest, None)
                _remember(self._known, digest, (until, found), _REMEMBERED)
                return found
            self._known.pop(digest, None)
            _remember(self._refused, digest, (until, found), _REFUSED)
        raise _worthless(found)

    def _look_up(self, digest: str) -> Caller | str | None:
        """The caller; the day on which the key expired; None for a key that is not known."""
        table = schema.api_keys
        query = sa.select(table).where(table.c.digest == digest, table.c.revoked_at.is_(None))
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
            # The index compared digests, whose bytes an attacker cannot choose; this compares in
            # constant time what it found.
            if row is None or not hmac.compare_digest(row.digest, digest):
                return None
            info = _info(row)
            if info.expires_at is not None and info.expires_at <= self._clock.now():
                return f"{info.expires_at:%Y-%m-%d %H:%M} UTC"
            models = frozenset(info.models) or None
            caller = Caller(info.customer_id, info.id, models, info.expires_at)
            return self._complete(connection, caller, info.line) if self._complete else caller


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


def _worthless(expired: str | None) -> AuthError:
    hint = "Ask the API's owner for a key."
    if expired is not None:
        return AuthError(f"The API key expired on {expired}.", hint=hint)
    return AuthError("The API key is unknown or revoked.", hint=hint)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _insert(
    connection: Connection,
    customer_id: str,
    now: datetime,
    models: Sequence[str],
    expires_at: datetime | None,
    *,
    line: str | None = None,
) -> tuple[str, str]:
    key = f"fh_{secrets.token_urlsafe(32)}"
    key_id = f"key_{secrets.token_hex(10)}"
    connection.execute(
        schema.api_keys.insert(),
        {
            "id": key_id,
            "customer_id": customer_id,
            "prefix": key[:PREFIX_LENGTH],
            "digest": _digest(key),
            "created_at": format_time(now),
            "revoked_at": None,
            "models": msgspec.json.encode(list(models)).decode() if models else None,
            "expires_at": format_time(expires_at) if expires_at else None,
            "replaced_by": None,
            "line": line,
        },
    )
    return key_id, key


def _info(row: Row[Any]) -> KeyInfo:
    return KeyInfo(
        id=row.id,
        customer_id=row.customer_id,
        prefix=row.prefix,
        created_at=parse_time(row.created_at),
        revoked_at=parse_time(row.revoked_at) if row.revoked_at else None,
        models=tuple(msgspec.json.decode(row.models, type=list[str])) if row.models else (),
        expires_at=parse_time(row.expires_at) if row.expires_at else None,
        replaced_by=row.replaced_by,
        line=row.line or row.id,
    )
