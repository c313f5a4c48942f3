"""What was metered, by the subscription and the month that it falls into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.bill.periods import Period
from freehold.clock import format_time
from freehold.store import schema

__all__ = ["Usage", "metered_usage", "rated_usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Answered requests, the inputs in them and the tokens of those; and how many of these came
    from the answer cache."""

    requests: int = 0
    inputs: int = 0
    tokens: int = 0
    cached_inputs: int = 0
    cached_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(one + two for one, two in zip(self._all, other._all, strict=True)))

    def __sub__(self, other: Usage) -> Usage:
        return Usage(*(one - two for one, two in zip(self._all, other._all, strict=True)))

    def within(self, other: Usage) -> bool:
        """Whether none of its figures is more than the other's."""
        return all(one <= two for one, two in zip(self._all, other._all, strict=True))

    @property
    def _all(self) -> tuple[int, ...]:
        return astuple(self)

    def of(self, unit: str) -> int:
        return self.tokens if unit == "tokens" else self.inputs

    def cached(self, unit: str) -> int:
        """Of them, those from the answer cache."""
        return self.cached_tokens if unit == "tokens" else self.cached_inputs

    def document(self) -> dict[str, int]:
        """As invoices hold it: without what most customers never have."""
        found = {"requests": self.requests, "inputs": self.inputs, "tokens": self.tokens}
        if self.cached_inputs:
            found |= {"cached_inputs": self.cached_inputs, "cached_tokens": self.cached_tokens}
        return found

    @classmethod
    def read(cls, document: Mapping[str, int]) -> Usage:
        return cls(**document)


_EVENTS = schema.usage_events
_SUMS = (
    sa.func.count().label("requests"),
    sa.func.sum(_EVENTS.c.inputs).label("inputs"),
    sa.func.sum(_EVENTS.c.tokens).label("tokens"),
    sa.func.sum(_EVENTS.c.cached_inputs).label("cached_inputs"),
    sa.func.sum(_EVENTS.c.cached_tokens).label("cached_tokens"),
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
        (row.owner, row.month): Usage(
            int(row.requests),
            int(row.inputs),
            int(row.tokens),
            int(row.cached_inputs),
            int(row.cached_tokens),
        )
        for row in connection.execute(query)
    }
