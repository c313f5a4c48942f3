"""What a server follows: the project's registry and database, as `freehold.serve` asks for them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from freehold.app import App
from freehold.registry.counts import CanaryMinute, ShadowDay, judged, record
from freehold.registry.rule import verdict
from freehold.registry.trials import Trial
from freehold.registry.wanted import Wanted, wanted
from freehold.serve.engine import Engine

__all__ = ["ProjectSource"]


class ProjectSource:
    """One server's. What it counts it writes under a name of its own, made when it first writes:
    two processes never share one."""

    def __init__(self, app: App, threads: int | None) -> None:
        self._app = app
        self._threads = threads
        self._server = ""

    def wanted(self) -> Sequence[Wanted]:
        with self._app.database.read() as connection:
            return wanted(connection)

    def open(self, wanted: Wanted) -> Engine:
        registry = self._app.registry
        folder = registry.bundle_folder(registry.get(wanted.name))
        return Engine.open(folder, threads=self._threads)

    def record(self, minutes: Sequence[CanaryMinute], days: Sequence[ShadowDay]) -> None:
        self._server = self._server or f"srv_{secrets.token_hex(6)}"
        record(self._app.database, self._server, minutes, days)

    def judge(self, trial: Trial) -> str | None:
        rule = trial.terms.rule
        with self._app.database.read() as connection:
            canary, live = judged(
                connection, trial.id, trial.version, trial.against or 0, rule.min_answers
            )
        reason = verdict(rule, canary, live)
        if reason is None or not self._app.registry.stages.withdraw(trial, reason):
            return None
        return reason
