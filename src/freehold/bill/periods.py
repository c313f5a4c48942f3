"""Billing periods: a calendar month in UTC, half-open, so that every instant is in exactly one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from freehold.clock import format_time
from freehold.errors import InputError

__all__ = ["Period", "parse_period", "period_of", "refuse_future"]

_NAME = re.compile(r"([1-9]\d{3})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """`start` belongs to it, `end` does not; both aware, in UTC."""

    name: str  # YYYY-MM
    start: datetime
    end: datetime

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    def contains(self, at: datetime) -> bool:
        return self.start <= at < self.end

    def ended(self, now: datetime) -> bool:
        return now >= self.end

    def next(self) -> Period:
        return period_of(self.end)

    def days_from(self, at: datetime) -> int:
        """Days of the period from the day of `at`, that day included; all of them if earlier."""
        if at <= self.start:
            return self.days
        first = datetime(at.year, at.month, at.day, tzinfo=UTC)
        return max(0, (self.end - first).days)

    def document(self) -> dict[str, str]:
        return {
            "name": self.name,
            "start": format_time(self.start),
            "end": format_time(self.end),
        }


def parse_period(text: str) -> Period:
    """`2026-11` -> November 2026. Raises InputError for anything that is not a month."""
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a period.", hint="Write year and month, as in 2026-11.")
    start = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)
    try:
        # The first of the next month: 31 days on is always in it.
        end = (start + timedelta(days=31)).replace(day=1)
    except OverflowError as error:
        raise InputError(f"{text!r} is later than any period can be.") from error
    return Period(match[0], start, end)


def period_of(at: datetime) -> Period:
    """The period that contains an instant."""
    return parse_period(at.astimezone(UTC).strftime("%Y-%m"))


def refuse_future(period: Period, now: datetime) -> None:
    """Raise InputError for a period that has not begun."""
    if now < period.start:
        current = period_of(now).name
        raise InputError(
            f"The period {period.name} has not begun; it is {current} now.",
            hint="Close the current period for interim invoices, or an earlier one.",
        )
