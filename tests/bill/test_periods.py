"""Months: half-open, in UTC, and what is not one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.bill.periods import parse_period, period_of, refuse_future
from freehold.errors import InputError


def test_a_period_is_a_half_open_month() -> None:
    period = parse_period("2026-11")
    assert period.start == datetime(2026, 11, 1, tzinfo=UTC)
    assert period.end == datetime(2026, 12, 1, tzinfo=UTC)
    assert period.days == 30
    assert period.contains(period.start)
    assert not period.contains(period.end)
    assert period.next() == parse_period("2026-12")
    assert parse_period("2028-02").days == 29


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-00", "26-11", "2026-1", "0000-01"])
def test_what_is_not_a_period_gets_a_sentence(text: str) -> None:
    with pytest.raises(InputError, match="is not a period") as caught:
        parse_period(text)
    assert caught.value.hint is not None
    assert "2026-11" in caught.value.hint


def test_the_last_month_of_all_is_refused() -> None:
    with pytest.raises(InputError, match="later than any period"):
        parse_period("9999-12")


@given(st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC)))
def test_every_instant_is_in_exactly_one_period(at: datetime) -> None:
    period = period_of(at)
    assert period.contains(at)
    assert not period.next().contains(at)
    assert period.days == (period.next().start - period.start).days


def test_an_instant_elsewhere_counts_in_utc() -> None:
    from datetime import timezone

    at = datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert period_of(at).name == "2026-11"


def test_a_future_period_is_refused() -> None:
    now = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
    refuse_future(parse_period("2026-11"), now)
    with pytest.raises(InputError, match="2026-12 has not begun; it is 2026-11 now"):
        refuse_future(parse_period("2026-12"), now)


def test_days_from_count_the_first_day() -> None:
    period = parse_period("2026-11")
    assert period.days_from(datetime(2026, 10, 5, tzinfo=UTC)) == 30
    assert period.days_from(datetime(2026, 11, 1, 9, tzinfo=UTC)) == 30
    assert period.days_from(datetime(2026, 11, 23, 23, 59, tzinfo=UTC)) == 8
    assert period.days_from(datetime(2026, 11, 30, tzinfo=UTC)) == 1
    assert period.days_from(datetime(2026, 12, 2, tzinfo=UTC)) == 0
