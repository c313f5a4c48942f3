"""One server in a process of its own, for test_server.py: `serve_process.py DATABASE_URL SECONDS`.

SECONDS is what a token costs the engine. The URL is printed once requests are answered; logs go to
stderr.
"""

from __future__ import annotations

import sys

from serving import SETTINGS, DatabaseGate, FakeEngine

from freehold.serve.keys import KeyRing
from freehold.serve.server import serve
from freehold.store.database import Database

if __name__ == "__main__":
    with Database.open(sys.argv[1]) as database:
        serve(
            {"bank": FakeEngine(seconds_per_token=float(sys.argv[2]))},
            DatabaseGate(database, KeyRing(database)),
            SETTINGS,
            on_ready=lambda url: print(url, flush=True),  # noqa: T201
        )
