"""A server over the project in FOLDER that looks for changes once an hour, for test_releases.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from releasing import FOLLOWING, Venture, VersionEngine

from freehold.app.sell import ProjectGate
from freehold.serve.server import serve
from freehold.store.database import Database

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with Database.open_file(folder / "freehold.db") as database:
        venture = Venture(database, folder)
        venture.makers = {
            "bank@1": lambda: VersionEngine(1),
            "bank@2": lambda: VersionEngine(2),
        }
        serve(
            {},
            ProjectGate(database, venture.app.clock, server="process"),
            replace(FOLLOWING, follow_seconds=3600.0),
            on_ready=lambda url: print(url, flush=True),  # noqa: T201
            source=venture.source(),
        )
