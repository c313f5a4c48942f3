"""Beyond one machine: how many a traffic needs, and the same server as replicas on Ray."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.app import App, open_database
from freehold.clock import SystemClock
from freehold.errors import InputError
from freehold.project import FILE_NAME, Serve
from freehold.registry import Registry
from freehold.serve.factory import Service
from freehold.settings import read_environment

if TYPE_CHECKING:
    from freehold.economics.capacity import Capacity, Traffic

__all__ = ["ReplicaOf", "capacity_for", "serve_on_ray"]


@dataclass(frozen=True, slots=True)
class ReplicaOf:
    """A project and its database as a replica finds them, on this machine or another one that has
    the same folder. Called, it opens them and the live bundles."""

    folder: Path
    settings: Serve
    database_url: str = field(repr=False)  # may hold a password

    def __call__(self, threads: int) -> Service:
        from freehold.app.batches import open_batches
        from freehold.app.follow import ProjectSource
        from freehold.app.sell import ProjectGate, open_engines
        from freehold.project_file import load_project

        settings = replace(self.settings, threads=threads)
        project = replace(load_project(self.folder / FILE_NAME), serve=settings)
        clock = SystemClock()
        # Open as long as the replica's process is there.
        database = open_database(project, {"FREEHOLD_DATABASE_URL": self.database_url})
        app = App(project, database, Registry(database, project.state, clock), clock)
        gate = ProjectGate(database, clock, server=f"srv_{secrets.token_hex(6)}")
        return Service(
            open_engines(app, threads),
            gate,
            settings,
            clock=clock,
            batches=open_batches(app, settings, gate),
            source=ProjectSource(app, threads),
        )


def serve_on_ray(app: App, settings: Serve, *, on_ready: Callable[[str], None]) -> None:
    """Serve every live version by replicas until SIGTERM or Ctrl-C; each meters its answers before
    they leave. Raises InputError where the database is one for a single machine."""
    from freehold.serve.runner_ray import Scale
    from freehold.serve.runner_ray import serve_on_ray as run

    _require_shared(app.database.dialect, settings)
    for version in app.registry.live():  # laid out once, before several want it
        app.registry.bundle_folder(version)
    scale = Scale(
        least=settings.replicas,
        most=max(settings.replicas, settings.max_replicas),
        each=settings.replica_requests,
        threads=settings.threads,
    )
    url = read_environment("FREEHOLD_DATABASE_URL")
    run(ReplicaOf(app.project.root, settings, url), settings, scale, on_ready=on_ready)


def _require_shared(dialect: str, settings: Serve) -> None:
    most = max(settings.replicas, settings.max_replicas)
    if dialect != "sqlite" or (most == 1 and not settings.ray_address):
        return
    who = f"{most} replicas" if most > 1 else "A cluster"
    raise InputError(
        f"{who} cannot share SQLite, which is for one machine.",
        hint="Set FREEHOLD_DATABASE_URL to PostgreSQL: postgresql://USER:PASSWORD@HOST/NAME.",
    )


def capacity_for(
    app: App, reference: str | None, traffic: Traffic, *, share: float, busy: float
) -> Capacity:
    """What a version needs to answer a traffic, by what its export measured on that machine, at
    [costs] machine_per_hour. Raises NotFoundError where it was never exported."""
    from freehold.economics.capacity import capacity

    version = app.version(reference)
    bundle = app.registry.bundle(version)
    return capacity(
        traffic,
        version=version.name,
        engine=f"{bundle.engine} {bundle.precision}",
        measured=float(bundle.report["inputs_per_second"]),
        machine_per_hour=app.project.costs.machine_per_hour,
        currency=app.project.currency,
        share=share,
        busy=busy,
    )
