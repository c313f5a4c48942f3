"""Batches of a project: kept in its database, worked on by every server over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.app import App
from freehold.meter.batches import Batches

if TYPE_CHECKING:
    from freehold.app.gate import ProjectGate
    from freehold.project import Serve

__all__ = ["open_batches"]


def open_batches(app: App, settings: Serve, gate: ProjectGate) -> Batches:
    """The batches of the server that has this gate."""
    return Batches(
        app.database,
        gate.records,
        server=gate.server,
        folder=app.project.state / "incoming",
        keep_days=settings.batch_keep_days,
        most_open=settings.batch_max_open,
        admit=gate.admitted,
        settled=gate.settled,
    )
