"""The clock that records go by: it does not go back a little, and follows where it was wrong."""

from __future__ import annotations

from datetime import timedelta

from freehold.clock import ManualClock, SteadyClock


def test_set_back_a_little_it_waits() -> None:
    wall = ManualClock()
    steady = SteadyClock(wall)
    begun = steady.now()
    wall.advance(minutes=30)
    assert steady.now() == begun + timedelta(minutes=30)
    wall.at -= timedelta(minutes=20)
    assert steady.now() == begun + timedelta(minutes=30)
    wall.advance(minutes=19)
    assert steady.now() == begun + timedelta(minutes=30)
    wall.advance(minutes=2)
    assert steady.now() == wall.at == begun + timedelta(minutes=31)


def test_set_back_by_more_than_an_hour_it_follows() -> None:
    wall = ManualClock()
    steady = SteadyClock(wall)
    wall.advance(days=365)
    steady.now()
    wall.at -= timedelta(days=365)
    assert steady.now() == wall.at
    assert steady.monotonic() == wall.monotonic()
