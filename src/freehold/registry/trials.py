"""What is loaded beside the live version: shadows, canaries, and versions that are only kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.registry.rule import Rule
from freehold.store import schema

__all__ = ["STICKY", "WHOLE", "Terms", "Trial", "open_trials", "shown_share", "trial_of"]

WHOLE = 10_000  # a share of all, in hundredths of a percent
STICKY = ("customer", "key", "request")


@dataclass(frozen=True, slots=True)
class Terms:
    """Who gets a canary: a share of all (of WHOLE) customers, keys or requests, and the customers
    that are named (their ids); and when it is taken back by itself."""

    share: int = 0
    customers: tuple[str, ...] = ()
    sticky: str = "customer"
    rule: Rule = field(default_factory=Rule)

    def sentence(self) -> str:
        """`10 % by customer and 2 customers by name`."""
        parts = [f"{shown_share(self.share)} by {self.sticky}"] if self.share else []
        if count := len(self.customers):
            parts.append(f"{count} customer{'s' * (count > 1)} by name")
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class Trial:
    """A version beside the live one, from `started_at` on. `kind` is shadow, canary or kept;
    `against` the version that was live then, None where it is only kept loaded."""

    id: int
    model: str
    version: int
    kind: str
    against: int | None
    terms: Terms
    started_at: str
    ended_at: str | None
    outcome: str | None

    @property
    def name(self) -> str:
        """model@version."""
        return f"{self.model}@{self.version}"

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "model": self.model,
            "version": self.version,
            "kind": self.kind,
            "against": self.against,
            "share": self.terms.share / WHOLE,
            "customers": list(self.terms.customers),
            "by": self.terms.sticky,
            "rule": asdict(self.terms.rule),
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "outcome": self.outcome,
        }


def shown_share(share: int) -> str:
    """Hundredths of a percent as `12.5 %`."""
    return f"{share / 100:g} %"


def open_trials(connection: Connection, model: str | None = None) -> list[Trial]:
    """Those that go on (of one model), in the order they began."""
    table = schema.releases
    query = sa.select(table).where(table.c.ended_at.is_(None)).order_by(table.c.id)
    if model is not None:
        query = query.where(table.c.model == model)
    return [trial_of(row) for row in connection.execute(query)]


def trial_of(row: Row[Any]) -> Trial:
    """A row of `releases`."""
    return Trial(
        id=row.id,
        model=row.model,
        version=row.version,
        kind=row.kind,
        against=row.against,
        terms=Terms(
            share=row.share,
            customers=tuple(msgspec.json.decode(row.customers)),
            sticky=row.sticky,
            rule=msgspec.json.decode(row.rule, type=Rule),
        ),
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=row.outcome,
    )
