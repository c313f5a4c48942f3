"""Held, settled, given back, lapsed: in any order nothing is spent twice and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from allowing import (
    QUOTA,
    RATE,
    TOKENS,
    WALLET,
    dealer,
    held_by,
    metered,
    now,
    row,
    settle,
    with_ada,
    work,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from freehold.bill.reconcile import reconcile
from freehold.bill.wallets import top_up
from freehold.clock import ManualClock
from freehold.errors import LimitError, PaymentError, StoreError, TooLargeError, UnavailableError
from freehold.meter.holds import free_lapsed
from freehold.serve.ports import Recorded
from freehold.store.database import Database


def test_a_wallet_pays_for_what_it_holds_and_no_more(database: Database) -> None:
    clock = ManualClock()
    with_ada(database, 3)
    one = dealer(database, clock)
    holds = [now(one, WALLET) for _ in range(3)]
    assert row(database, WALLET) == (3, 0, 3)
    with pytest.raises(LimitError, match="Other requests hold"):
        now(one, WALLET)
    settle(database, one, [work(hold) for hold in holds[:2]], clock)
    assert row(database, WALLET) == (3, 2, 1)
    clock.advance(seconds=2)
    holds[2].release()
    holds[2].release()  # once is enough
    last = now(one, WALLET)
    settle(database, one, [work(last)], clock)
    clock.advance(seconds=2)
    with pytest.raises(PaymentError, match="0 inputs are left, the request has 1"):
        now(one, WALLET)
    assert row(database, WALLET) == (3, 3, 0)
    assert held_by(database) == {}
    assert reconcile(database, clock).difference == 0


def test_a_refusal_is_remembered_for_a_second_and_not_after_a_top_up(database: Database) -> None:
    clock = ManualClock()
    with_ada(database)
    one = dealer(database, clock)
    with pytest.raises(PaymentError):
        now(one, WALLET)
    with pytest.raises(PaymentError):  # at once, from memory
        one.hold([WALLET], 1, 0)
    top_up(database, "ada", 1, clock)
    clock.advance(seconds=1)
    assert now(one, WALLET)


def test_all_or_nothing(database: Database) -> None:
    """Who is refused by one allowance takes nothing of the others."""
    clock = ManualClock()
    with_ada(database, 5)
    one = dealer(database, clock)
    with pytest.raises(LimitError, match="quota of 10 inputs a month"):
        now(one, RATE, QUOTA, WALLET, inputs=11)
    assert row(database, WALLET) == (5, 0, 0)
    assert row(database, RATE) == (0, 0, 0)
    now(one, RATE, QUOTA, WALLET, inputs=5)
    assert row(database, WALLET) == (5, 0, 5)


def test_far_from_the_limit_a_server_holds_ahead_and_gives_back_what_it_does_not_use(
    database: Database,
) -> None:
    clock = ManualClock()
    with_ada(database, 100_000)
    one = dealer(database, clock)
    for _ in range(3):
        asked = [one.hold([WALLET], 1, 0) for _ in range(50)]
        one.round()
        clock.advance(seconds=0.05)
    assert all(not hasattr(hold, "result") or hold.result(0) for hold in asked)
    _, _, held = row(database, WALLET)
    assert 150 < held < 2_000
    assert not hasattr(one.hold([WALLET], 1, 0), "result")  # dealt from memory
    assert row(database, WALLET) == (100_000, 0, held)
    clock.advance(seconds=1.5)
    one.round()  # idle: only what requests hold stays
    used = row(database, WALLET)[2]
    assert 101 <= used < held
    assert held_by(database) == {("s1", WALLET.id): used}


def test_holds_of_a_server_that_is_gone_are_given_back_once(database: Database) -> None:
    clock = ManualClock()
    with_ada(database, 10)
    gone, alive = dealer(database, clock, "gone"), dealer(database, clock, "alive")
    hold = now(gone, WALLET, inputs=6)
    kept = now(alive, WALLET, inputs=2)
    settle(database, gone, [work(hold, 6)], clock, "gone")
    now(gone, WALLET, inputs=2)  # and it dies
    clock.advance(seconds=25)
    alive.round()
    clock.advance(seconds=10)
    for _ in range(2):
        free_lapsed(database, clock)
    assert row(database, WALLET) == (10, 6, 2)
    assert held_by(database) == {("alive", WALLET.id): 2}
    kept.release()
    alive.close()
    assert row(database, WALLET) == (10, 6, 0)


def test_who_needs_units_takes_those_of_a_server_that_is_gone(database: Database) -> None:
    clock = ManualClock()
    with_ada(database, 2)
    now(dealer(database, clock, "gone"), WALLET, inputs=2)
    clock.advance(seconds=31)
    assert now(dealer(database, clock, "alive"), WALLET, inputs=2)
    assert held_by(database) == {("alive", WALLET.id): 2}


def test_a_hold_that_lapsed_is_taken_anew_or_the_answer_is_refused(database: Database) -> None:
    """A server that slept too long; its units are in other hands by now."""
    clock = ManualClock()
    with_ada(database, 3)
    slow, other = dealer(database, clock, "slow"), dealer(database, clock, "other")
    first, second = now(slow, WALLET, inputs=1), now(slow, WALLET, inputs=1)
    clock.advance(seconds=31)
    theirs = now(other, WALLET, inputs=2)
    works = [
        work(first, 1, idempotency_key="k"),
        work(second, 1),
        work(None, 1, idempotency_key="k"),
    ]
    outcomes = settle_all(database, slow, works, clock, "slow")
    # One unit was left for the two; the third would have got the first one's answer.
    assert [one.recorded for one in outcomes] == [
        Recorded.METERED,
        Recorded.REFUSED,
        Recorded.REPLAYED,
    ]
    assert row(database, WALLET) == (3, 1, 2)
    settle(database, other, [work(theirs, 2)], clock, "other")
    assert row(database, WALLET) == (3, 3, 0)
    assert metered(database) == 3
    assert reconcile(database, clock).difference == 0


def settle_all(database: Database, one: Any, works: Any, clock: Any, server: str) -> Any:
    from freehold.meter import events
    from freehold.serve.ports import Tally

    tallies = [Tally("bank", 1, 1, w.inputs, w.tokens, w.compute_us) for w in works]
    return events.settle(database, works, tallies, server=server, clock=clock)


def test_nobody_gets_the_answer_of_a_request_that_was_refused(database: Database) -> None:
    clock = ManualClock()
    with_ada(database, 1)
    slow, other = dealer(database, clock, "slow"), dealer(database, clock, "other")
    first = now(slow, WALLET)
    clock.advance(seconds=31)
    theirs = now(other, WALLET)
    works = [work(first, idempotency_key="k"), work(None, idempotency_key="k")]
    outcomes = settle_all(database, slow, works, clock, "slow")
    assert [(one.recorded, one.body) for one in outcomes] == [(Recorded.REFUSED, b"")] * 2
    assert metered(database) == 0
    settle(database, other, [work(theirs, idempotency_key="k")], clock, "other")
    assert metered(database) == 1
    assert reconcile(database, clock).difference == 0


def test_a_settlement_that_is_repeated_takes_nothing_more(database: Database) -> None:
    clock = ManualClock()
    with_ada(database, 5)
    one = dealer(database, clock)
    works = [work(now(one, WALLET, inputs=2), 2)]
    for recorded in (Recorded.METERED, Recorded.REPLAYED):
        (outcome,) = settle_all(database, one, works, clock, "s1")
        assert outcome.recorded is recorded
    assert row(database, WALLET) == (5, 2, 0)


def test_a_request_that_two_servers_had_is_paid_once(database: Database) -> None:
    """A proxy gives a request to another server when it does not hear from the first."""
    clock = ManualClock()
    with_ada(database, 5)
    for server, recorded in (("s1", Recorded.METERED), ("s2", Recorded.REPLAYED)):
        one = dealer(database, clock, server)
        works = [replace(work(now(one, WALLET, inputs=2), 2), request_id="both")]
        (outcome,) = settle(database, one, works, clock, server)
        assert outcome.recorded is recorded
        one.close()
    assert row(database, WALLET) == (5, 2, 0)


def test_a_quota_counts_the_month_in_which_the_answer_is_recorded(database: Database) -> None:
    clock = ManualClock(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC))
    with_ada(database)
    one = dealer(database, clock)
    november = now(one, QUOTA, inputs=4)
    clock.advance(seconds=2)
    settle(database, one, [work(november, 4)], clock)
    assert row(database, QUOTA, "2026-11") == (0, 0, 0)
    assert row(database, QUOTA, "2026-12") == (0, 4, 0)
    with pytest.raises(LimitError) as refused:
        now(one, QUOTA, inputs=7)
    assert refused.value.retry_after == 31 * 86400 - 1
    now(one, QUOTA, inputs=6)


def test_a_quota_that_is_new_counts_what_the_month_has_used(database: Database) -> None:
    clock = ManualClock()
    with_ada(database)
    one = dealer(database, clock)
    settle_all(database, one, [work(None, 7)], clock, "s1")
    with pytest.raises(LimitError, match="3 inputs are left, the request has 4"):
        now(one, QUOTA, inputs=4)
    now(one, QUOTA, inputs=3)


def test_a_bucket_refills_evenly(database: Database) -> None:
    clock = ManualClock()
    with_ada(database)
    one = dealer(database, clock)
    for _ in range(60):
        now(one, RATE)
    with pytest.raises(LimitError, match="limit of 60 requests a minute") as refused:
        now(one, RATE)
    assert refused.value.retry_after == 1.0
    headers = dict(refused.value.headers)
    assert headers[b"ratelimit"] == b'"requests";r=0;t=1'
    assert headers[b"ratelimit-policy"] == b'"requests";q=60;w=60'
    clock.advance(seconds=3)
    for _ in range(3):
        now(one, RATE)
    with pytest.raises(LimitError):
        now(one, RATE)
    with pytest.raises(TooLargeError, match="601 tokens; the limit is 600 a minute"):
        now(one, TOKENS, tokens=601)
    assert now(one, TOKENS, tokens=600)


def test_a_clock_that_is_set_back_stops_nobody_for_more_than_a_minute(database: Database) -> None:
    clock = ManualClock()
    with_ada(database)
    one = dealer(database, clock)
    for _ in range(10):
        now(one, RATE)
    clock.at -= timedelta(days=1)
    clock.elapsed += 5
    with pytest.raises(LimitError):
        now(one, RATE)
    clock.advance(seconds=61)
    assert now(one, RATE)


def test_without_a_database_nothing_is_taken(database: Database, monkeypatch: Any) -> None:
    clock = ManualClock()
    with_ada(database, 5)
    one = dealer(database, clock)

    def gone() -> Any:
        raise StoreError("secret place")

    with monkeypatch.context() as broken:
        broken.setattr(database, "write", gone)
        with pytest.raises(UnavailableError) as failed:
            now(one, WALLET)
        assert "secret" not in failed.value.sentence()
    assert now(one, WALLET)
    assert row(database, WALLET) == (5, 0, 1)


class Servers(RuleBasedStateMachine):
    """Three servers over one wallet, one quota and one bucket; any of them may sleep or die."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.database = Database.open_file(Path(self.folder.name) / "f.db")
        self.clock = ManualClock(datetime(2026, 11, 20, tzinfo=UTC))
        self.granted = 0
        self.deaths = 0
        self.open: dict[str, list[tuple[Any, int]]] = {}
        self.dealers: dict[str, Any] = {}
        self.names: dict[int, str] = {}

    @initialize(units=st.integers(0, 12))
    def begin(self, units: int) -> None:
        with_ada(self.database, units, self.clock)
        self.granted = units
        for number in range(3):
            self.start(number)

    def start(self, number: int) -> None:
        name = self.names[number] = f"s{number}.{self.deaths}"
        self.dealers[name] = dealer(self.database, self.clock, name)
        self.open[name] = []

    @rule(number=st.integers(0, 2), inputs=st.integers(1, 4))
    def hold(self, number: int, inputs: int) -> None:
        name = self.names[number]
        before = row(self.database, WALLET)
        try:
            hold = now(self.dealers[name], RATE, QUOTA, WALLET, inputs=inputs)
        except (LimitError, PaymentError):
            return
        assert before[0] - before[1] >= inputs
        self.open[name].append((hold, inputs))

    @rule(number=st.integers(0, 2), many=st.integers(1, 3))
    def settle(self, number: int, many: int) -> None:
        name = self.names[number]
        done, self.open[name] = self.open[name][:many], self.open[name][many:]
        works = [work(hold, inputs) for hold, inputs in done]
        settle(self.database, self.dealers[name], works, self.clock, name)

    @rule(number=st.integers(0, 2))
    def release(self, number: int) -> None:
        if self.open[self.names[number]]:
            self.open[self.names[number]].pop()[0].release()

    @rule(number=st.integers(0, 2))
    def die(self, number: int) -> None:
        self.deaths += 1
        self.start(number)

    @rule(number=st.integers(0, 2))
    def tend(self, number: int) -> None:
        self.dealers[self.names[number]].round()

    @rule(seconds=st.sampled_from([0.1, 1.5, 12.0, 40.0, 864_000.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)

    @rule(units=st.integers(1, 5))
    def top_up(self, units: int) -> None:
        top_up(self.database, "ada", units, self.clock)
        self.granted += units

    @invariant()
    def the_books_are_right(self) -> None:
        if not self.names:
            return
        result = reconcile(self.database, self.clock)
        assert result.discrepancies == ()
        if self.granted:
            granted, used, held = row(self.database, WALLET)
            assert granted == self.granted
            assert 0 <= used == metered(self.database)
            assert 0 <= held <= granted - used

    def teardown(self) -> None:
        if self.names:
            for number in range(3):
                name = self.names[number]
                for hold, _ in self.open[name]:
                    hold.release()
                self.dealers[name].close()
            self.clock.advance(seconds=31)
            free_lapsed(self.database, self.clock)
            assert held_by(self.database) == {}
        self.database.close()
        self.folder.cleanup()


Servers.TestCase.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
TestServers = Servers.TestCase
