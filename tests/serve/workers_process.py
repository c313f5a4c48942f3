"""A server of two workers, for test_workers.py: `workers_process.py DATABASE_URL`.

The URL is printed once both answer; each worker is this script again. A text costs the engine some
milliseconds, so that kills fall into batches, commits and answers alike. With "broken" in place of
a URL the workers end at once.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from serving import SETTINGS, FakeEngine

from freehold.app.sell import ProjectGate
from freehold.clock import SystemClock
from freehold.errors import FreeholdError
from freehold.serve.server import serve
from freehold.serve.worker import Worker
from freehold.serve.workers import supervise
from freehold.store.database import Database


def work(worker: Worker, url: str) -> None:
    if url == "broken":
        sys.exit(3)
    with Database.open(url, create=False) as database:
        serve(
            {"bank": FakeEngine(seconds_per_token=0.0005)},
            ProjectGate(database, SystemClock(), server=f"w{os.getpid()}"),
            worker.settings,
            worker=worker,
        )


def main(url: str) -> None:
    if worker := Worker.of():
        work(worker, url)
        return
    try:
        supervise(
            [sys.executable, __file__, url],
            replace(SETTINGS, workers=2),
            on_ready=lambda url: print(url, flush=True),  # noqa: T201
        )
    except FreeholdError as error:
        sys.exit(error.sentence())


if __name__ == "__main__":
    main(sys.argv[1])
