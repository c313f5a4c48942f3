"""Which versions a server should have loaded, and why each."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.registry.trials import Trial, open_trials
from freehold.store import schema

__all__ = ["Wanted", "wanted"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A version by its newest bundle; `stage` is live, canary, shadow or kept, and `trial` what it
    is loaded for where it is not live."""

    model: str
    version: int
    bundle: int
    stage: str
    trial: Trial | None = None

    @property
    def name(self) -> str:
        """model@version."""
        return f"{self.model}@{self.version}"

    @property
    def place(self) -> tuple[str, int, int]:
        """What an engine is opened for: a version exported anew is another one."""
        return self.model, self.version, self.bundle


def wanted(connection: Connection) -> list[Wanted]:
    """The live versions by model, then what is tried or kept beside them, as it began."""
    versions, bundles = schema.versions, schema.bundles
    newest = {
        (row.model, row.version): int(row.id)
        for row in connection.execute(
            sa.select(
                bundles.c.model, bundles.c.version, sa.func.max(bundles.c.id).label("id")
            ).group_by(bundles.c.model, bundles.c.version)
        )
    }
    live = connection.execute(
        sa.select(versions.c.model, versions.c.version)
        .where(versions.c.stage == "live")
        .order_by(versions.c.model)
    )
    found = [Wanted(row.model, row.version, newest[row.model, row.version], "live") for row in live]
    return found + [
        Wanted(trial.model, trial.version, newest[trial.model, trial.version], trial.kind, trial)
        for trial in open_trials(connection)
    ]
