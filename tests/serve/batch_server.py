"""Servers for test_batch_kill.py, as kill_server.py makes them: `python batch_server.py URL DIR`.

They work on batches as `freehold serve` does, but for a lease that is shorter than the test, and
linger where a kill is worth most: between a chunk's commit and what comes after it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from kill_server import main
from serving import SETTINGS, FakeEngine, batches_of

from freehold.app.sell import ProjectGate
from freehold.clock import SystemClock
from freehold.serve.batches import lines, runner
from freehold.serve.batches.ports import Answered, Batch, Kept
from freehold.serve.server import serve
from freehold.store.database import Database

LEASE = 0.3


def run(url: str, folder: str) -> None:
    engine = FakeEngine(seconds_per_token=0.0012)
    runner._POLL, runner._TURN, lines.CHUNK_INPUTS = 0.05, 0.3, 16
    name = f"s{os.getpid()}"
    with Database.open(url, create=False) as database, Path(os.devnull).open("w") as log:
        gate = ProjectGate(database, SystemClock(), server=name)
        batches = batches_of(
            database,
            Path(folder),
            server=name,
            lease=LEASE,
            admit=gate.admitted,
            settled=gate.settled,
        )
        record = batches.record

        def slowly(batch: Batch, answered: Answered) -> Kept:
            kept = record(batch, answered)
            time.sleep(0.01)
            return kept

        def ready(url: str) -> None:
            os.write(1, f"{os.getpid()} {url}\n".encode())

        batches.record = slowly  # type: ignore[method-assign]
        serve({"bank": engine}, gate, SETTINGS, on_ready=ready, log=log, batches=batches)


if __name__ == "__main__":
    main(*sys.argv[1:], run)
