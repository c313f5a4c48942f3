"""Servers for killing.py: everything is imported once, then each server is a fork of this one.

`python kill_server.py DATABASE_URL [MUTANT]` reads lines from stdin: at each "start" a server is
forked, which prints its pid and URL once it answers. The gate is the one that `freehold serve` has,
unless MUTANT spoils it: `early` answers before it commits, `forgetful` ignores Idempotency-Keys,
`careless` answers although nothing was recorded.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from serving import SETTINGS, FakeEngine

from freehold.app.sell import ProjectGate
from freehold.clock import SystemClock
from freehold.errors import StoreError
from freehold.serve.ports import Caller, Outcome, Recorded, Tally, Work
from freehold.serve.server import serve
from freehold.store.database import Database


class Slow(ProjectGate):
    """The gate of `freehold serve`, which lingers between commit and answers: so that many kills
    come where an answer is in the books and has not left."""

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        outcomes = super().settle(works, tallies)
        time.sleep(0.01)
        return outcomes


class Early(ProjectGate):
    """Commits soon, but after the answers have left."""

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        def later() -> None:
            time.sleep(0.03)
            ProjectGate.settle(self, works, tallies)

        threading.Thread(target=later, daemon=True).start()
        return [Outcome(work.request_id, Recorded.METERED, work.body) for work in works]


class Forgetful(ProjectGate):
    """Meters a retry as if it were new."""

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return None

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        forgotten = [dataclasses.replace(work, idempotency_key=None) for work in works]
        return super().settle(forgotten, tallies)


class Careless(ProjectGate):
    """Takes a database that does not answer lightly."""

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        try:
            return super().settle(works, tallies)
        except StoreError:
            return [Outcome(work.request_id, Recorded.METERED, work.body) for work in works]


GATES = {"": Slow, "early": Early, "forgetful": Forgetful, "careless": Careless}


def main(url: str, mutant: str = "", run: Callable[[str, str], None] | None = None) -> None:
    run = run or serve_bank
    for line in sys.stdin:
        assert line == "start\n"
        if os.fork() == 0:
            try:
                run(url, mutant)
                os._exit(0)
            finally:
                os._exit(1)
    killed = (0, -signal.SIGKILL)
    sys.exit(any(status not in killed for status in _statuses()))


def serve_bank(url: str, mutant: str) -> None:
    # The engine takes a while, so that kills fall into batches, commits and answers alike.
    engine = FakeEngine(seconds_per_token=0.0001)
    with Database.open(url, create=False) as database, Path(os.devnull).open("w") as log:
        gate = GATES[mutant](database, SystemClock(), server=f"s{os.getpid()}")

        def ready(url: str) -> None:
            os.write(1, f"{os.getpid()} {url}\n".encode())

        serve({"bank": engine}, gate, SETTINGS, on_ready=ready, log=log)


def _statuses() -> Iterator[int]:
    """How each server ended, once it has."""
    while True:
        try:
            yield os.waitstatus_to_exitcode(os.wait()[1])
        except ChildProcessError:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
