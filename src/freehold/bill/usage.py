"""What was metered, by the subscription and the month that it falls into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.periods import Period
from freehold.clock import format_time
from freehold.store import schema

__all__ = ["Usage", "metered_usage", "rated_usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Answered requests, the inputs in them and the tokens of those."""

    requests: int = 0
    inputs: int = 0
    tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests, self.inputs + other.inputs, self.tokens + other.tokens
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.requests - other.requests, self.inputs - other.inputs, self.tokens - other.tokens
        )

    def within(self, other: Usage) -> bool:
        """Whether none of the three is more than the other's."""
        return (
            self.requests <= other.requests
            and self.inputs <= other.inputs
            and self.tokens <= other.tokens
        )

    def of(self, unit: str) -> int:
        return self.tokens if unit == "tokens" else self.inputs

    def document(self) -> dict[str, int]:
        return {"requests": self.requests, "inputs": self.inputs, "tokens": self.tokens}

    @classmethod
    def read(cls, document: Mapping[str, int]) -> Usage:
        return cls(document["requests"], document["inputs"], document["tokens"])


_EVENTS = schema.usage_events
_SUMS = (
    sa.func.count().label("requests"),
    sa.func.sum(_EVENTS.c.inputs).label("inputs"),
    sa.func.sum(_EVENTS.c.tokens).label("tokens"),
)
# Times are ISO 8601 texts in UTC, so a month is a prefix and time order is text order. The numbers
# are written out: PostgreSQL does not see that two bound parameters in GROUP BY are the same.
_MONTH = sa.func.substr(_EVENTS.c.at, sa.literal_column("1"), sa.literal_column("7"))


def rated_usage(
    connection: Connection, *, customer_id: str | None = None, period: Period | None = None
) -> dict[tuple[str, str], Usage]:
    """(subscription id, YYYY-MM) -> the usage that the rater prices: events inside a subscription.

    One statement, so that the figures belong to one state of the database even where each statement
    sees what was committed last.
    """
    taken = schema.subscriptions
    inside = (
        (taken.c.customer_id == _EVENTS.c.customer_id)
        & (_EVENTS.c.at >= taken.c.starts_at)
        & (taken.c.ends_at.is_(None) | (_EVENTS.c.at < taken.c.ends_at))
    )
    query = (
        sa.select(taken.c.id.label("owner"), _MONTH.label("month"), *_SUMS)
        .select_from(_EVENTS.join(taken, inside))
        .group_by(taken.c.id, _MONTH)
    )
    return _grouped(connection, _narrow(query, customer_id, period))


def metered_usage(connection: Connection) -> dict[tuple[str, str], Usage]:
    """(customer id, YYYY-MM) -> every usage event, inside a subscription or not."""
    query = sa.select(_EVENTS.c.customer_id.label("owner"), _MONTH.label("month"), *_SUMS)
    return _grouped(connection, query.group_by(_EVENTS.c.customer_id, _MONTH))


def _narrow(query: Any, customer_id: str | None, period: Period | None) -> Any:
    if customer_id is not None:
        query = query.where(_EVENTS.c.customer_id == customer_id)
    if period is not None:
        query = query.where(
            _EVENTS.c.at >= format_time(period.start), _EVENTS.c.at < format_time(period.end)
        )
    return query


def _grouped(connection: Connection, query: Any) -> dict[tuple[str, str], Usage]:
    return {
        (row.owner, row.month): Usage(int(row.requests), int(row.inputs), int(row.tokens))
        for row in connection.execute(query)
    }
