"""What a customer or a line of keys may use: the plan's limits, and what was set in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.clock import Clock, format_time
from freehold.errors import InputError
from freehold.meter.allowances import QUOTA, WALLET, take_of, wallet_id
from freehold.project import PlanTerms
from freehold.serve.ports import Allowance
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["LIMITS", "Limit", "Standing", "allowances_of", "set_limits", "standings"]

LIMITS = ("requests_per_minute", "tokens_per_minute", "quota")
_KINDS = {"requests_per_minute": "requests", "tokens_per_minute": "tokens", "quota": QUOTA}
_MOST = 10**15  # so that sums and products stay within the database's integers


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit as it holds; `source` is plan, customer or key, `size` 0: no limit."""

    name: str
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class Standing:
    """An allowance and what of it is used and held now."""

    name: str
    source: str
    unit: str
    size: int
    period: str
    used: int
    held: int

    def document(self) -> dict[str, Any]:
        left = None if self.name.endswith("_per_minute") else self.size - self.used - self.held
        return {
            "limit": self.name,
            "from": self.source,
            "unit": self.unit,
            "size": self.size,
            "period": self.period or None,
            "used": self.used,
            "held": self.held,
            "left": left,
        }


def allowances_of(
    connection: Connection, customer_id: str, line: str, terms: PlanTerms
) -> tuple[Allowance, ...]:
    """What bounds a caller: the customer's limits, then those of the line of keys, then the
    wallet. Nothing where there is no limit at all."""
    found = _set(connection, [customer_id, line])
    allowances = [
        _allowance(customer_id, limit, terms.unit, "")
        for limit in _limits(found.get(customer_id, {}), terms)
        if limit.size
    ]
    allowances += [
        _allowance(customer_id, Limit(name, size, "key"), terms.unit, line)
        for name, size in sorted(found.get(line, {}).items())
        if size
    ]
    if terms.prepaid:
        row = wallet_id(customer_id, terms.unit)
        allowances.append(Allowance(row, customer_id, WALLET, terms.unit, 0))
    return tuple(allowances)


def set_limits(
    database: Database, owner: str, sizes: Mapping[str, int | None], clock: Clock
) -> None:
    """Set limits of a customer or of a line of keys (by the id of its first key).

    0 lifts a limit, None takes back what was set before. Raises InputError for what is no limit.
    """
    for name, size in sizes.items():
        if name not in LIMITS:
            raise InputError(f"{name!r} is not a limit.", hint=f"Known: {', '.join(LIMITS)}.")
        if size is not None and not 0 <= size <= _MOST:
            raise InputError(f"{name} is {size}.", hint=f"Use 0 (no limit) to {_MOST:,}.")
    table = schema.limits
    at = format_time(clock.now())
    with database.write() as connection:
        database.lock(connection, f"limits:{owner}")
        connection.execute(
            table.delete().where(table.c.owner == owner, table.c.name.in_(list(sizes)))
        )
        rows = [
            {"owner": owner, "name": name, "size": size, "at": at}
            for name, size in sizes.items()
            if size is not None
        ]
        if rows:
            connection.execute(table.insert(), rows)


def standings(
    connection: Connection, customer_id: str, line: str, terms: PlanTerms, month: str
) -> list[Standing]:
    """What `allowances_of` a caller are, and how each stands; `line` may be empty."""
    table = schema.allowances
    overridden = _set(connection, [customer_id])
    answer = []
    for allowance in allowances_of(connection, customer_id, line, terms):
        name = next((n for n, kind in _KINDS.items() if kind == allowance.kind), WALLET)
        source = "key" if allowance.line else "plan"
        if not allowance.line and name in overridden.get(customer_id, {}):
            source = "customer"
        take = take_of(allowance, 0, month)
        row = connection.execute(sa.select(table).where(table.c.id == take.row)).one_or_none()
        granted, used, held = (row.granted, row.used, row.held) if row else (0, 0, 0)
        size = granted if allowance.kind == WALLET else allowance.size
        answer.append(Standing(name, source, allowance.unit, size, take.period, used, held))
    return answer


def _set(connection: Connection, owners: list[str]) -> dict[str, dict[str, int]]:
    table = schema.limits
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(sa.select(table).where(table.c.owner.in_(owners))):
        found.setdefault(row.owner, {})[row.name] = row.size
    return found


def _limits(own: Mapping[str, int], terms: PlanTerms) -> list[Limit]:
    return [
        Limit(name, own[name], "customer")
        if name in own
        else Limit(name, getattr(terms, name), "plan")
        for name in LIMITS
    ]


def _allowance(customer_id: str, limit: Limit, unit: str, line: str) -> Allowance:
    kind = _KINDS[limit.name]
    unit = unit if kind == QUOTA else kind
    # A quota of tokens is another one than a quota of inputs.
    name = f"{kind}:{unit}" if kind == QUOTA else kind
    return Allowance(f"{line or customer_id}:{name}", customer_id, kind, unit, limit.size, line)
