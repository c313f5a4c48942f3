"""A hundred callers at once on the last units of a wallet: they get exactly what it holds."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path

import pytest
from allowing import QUOTA, RATE, WALLET, held_by, metered, row, settle, with_ada, work

from freehold.bill.reconcile import reconcile
from freehold.clock import ManualClock, SystemClock
from freehold.errors import FreeholdError, LimitError, PaymentError
from freehold.meter.dealer import Dealer
from freehold.meter.holds import free_lapsed
from freehold.serve.ports import Allowance
from freehold.store.database import Database

SCRIPT = Path(__file__).with_name("hold_processes.py")


def processes(url: str, *arguments: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """Run them at once; (answered, refused, exit code) of each."""
    running = [
        subprocess.Popen(
            [sys.executable, SCRIPT, url, *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for given in arguments
    ]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = []
    for process in running:
        said, _ = process.communicate(timeout=120)
        answered, refused = map(int, said.split())
        ended.append((answered, refused, process.returncode))
    return ended


@pytest.mark.parametrize("units", [37])
def test_in_several_processes(database: Database, database_url: str, units: int) -> None:
    with_ada(database, units)
    ended = processes(database_url, *((f"s{number}", "25") for number in range(4)))
    assert all(code == 0 for *_, code in ended)
    assert sum(answered for answered, *_ in ended) == units
    assert sum(refused for _, refused, _ in ended) == 100 - units
    assert row(database, WALLET) == (units, units, 0)
    assert held_by(database) == {}
    assert metered(database) == units
    assert reconcile(database, SystemClock()).difference == 0


def test_killed_in_between(database: Database, database_url: str) -> None:
    """What was answered is paid, what was held and not answered comes back once, later."""
    with_ada(database, 60)
    ended = processes(database_url, *((f"s{number}", "20", "die") for number in range(2)))
    assert all(code == -9 for *_, code in ended)
    answered = sum(done for done, *_ in ended)
    assert answered == metered(database) == 20
    assert row(database, WALLET) == (60, 20, 20)
    ended = processes(database_url, ("s3", "30"))
    assert ended == [(20, 10, 0)]
    later = ManualClock(SystemClock().now() + timedelta(seconds=31))
    free_lapsed(database, later)
    free_lapsed(database, later)
    assert row(database, WALLET) == (60, 40, 0)
    assert processes(database_url, ("s4", "21")) == [(20, 1, 0)]
    assert row(database, WALLET) == (60, 60, 0)
    assert reconcile(database, SystemClock()).difference == 0


def test_in_threads_of_two_servers(database: Database, database_url: str) -> None:
    """Of a wallet, a quota and a bucket together, the tightest decides, to the unit."""
    with_ada(database, 70)
    quota = Allowance(QUOTA.id, "ada", "quota", "inputs", 55)
    clock = SystemClock()
    barrier = threading.Barrier(100)
    outcomes: list[str] = []
    failures: list[BaseException] = []
    with Database.open(database_url) as second:
        servers = {
            name: (opened, Dealer(opened, name, clock))
            for name, opened in (("a", database), ("b", second))
        }

        def caller(number: int) -> None:
            name = "ab"[number % 2]
            opened, one = servers[name]
            try:
                barrier.wait(60)
                hold = one.hold([quota, WALLET], 1, 0)
                hold = hold.result(60) if isinstance(hold, Future) else hold
                settle(opened, one, [work(hold)], clock, name)
                outcomes.append("answered")
            except (LimitError, PaymentError) as error:
                outcomes.append(type(error).__name__)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=caller, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        for _, one in servers.values():
            one.close()
    assert failures == []
    assert outcomes.count("answered") == 55
    assert len(outcomes) == 100
    assert row(database, WALLET) == (70, 55, 0)
    assert held_by(database) == {}


def test_servers_together_never_exceed_a_rate(sqlite: Database) -> None:
    """Three greedy servers, for more than a minute: no span has more than bucket and refill."""
    clock = ManualClock()
    with_ada(sqlite)
    rate = Allowance(RATE.id, "ada", "requests", "requests", 600)
    servers = [Dealer(sqlite, f"s{number}", clock, thread=False) for number in range(3)]
    dealt: list[float] = []
    for step in range(160):
        for one in servers[: 1 + step % 3]:
            for _ in range(4):
                try:
                    hold = one.hold([rate], 1, 0)
                except FreeholdError:
                    continue
                if isinstance(hold, Future):
                    one.round()
                    if hold.exception(0) is not None:
                        continue
                dealt.append(clock.elapsed)
        clock.advance(seconds=0.5)
    for first in range(0, len(dealt), 7):
        for last in range(first, len(dealt), 11):
            span = dealt[last] - dealt[first]
            assert last - first + 1 <= 600 + 10 * span
    assert len(dealt) > 600 + 10 * 60  # and nearly all of it was to be had
