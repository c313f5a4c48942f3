"""Who answers for a model: what is promoted, tried, taken back; each decision leaves its trace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from freehold.clock import Clock, format_time
from freehold.errors import ConflictError, NotFoundError
from freehold.registry.trials import Terms, Trial, open_trials, trial_of
from freehold.registry.versions import Version, dump, versions_in
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["Change", "Stages"]

# Where a version goes whose trial is over: what customers had is retired, what they never had is a
# candidate as before.
_AFTER = {"shadow": "candidate", "canary": "retired"}


@dataclass(frozen=True, slots=True)
class Change:
    """One decision: `reason` is the kind of it, `detail` says why in a sentence."""

    at: str
    model: str
    version: int
    from_stage: str
    to_stage: str
    reason: str
    detail: str | None

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Stages:
    """The stages of a project's versions; every method is one transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def go_live(self, version: Version, reason: str, detail: str | None = None) -> None:
        """Retire what is live, put `version` there, and end what was tried beside it."""
        with self._database.write() as connection:
            self._lock(connection, version.model)
            self._go_live(connection, version.model, version.version, reason, detail)

    def back(self, model: str, detail: str | None = None) -> int:
        """Take back the canary of a model, or where there is none make the version live again that
        was live before the present one; the version that is live now. Raises ConflictError."""
        with self._database.write() as connection:
            self._lock(connection, model)
            live = _live_in(connection, model)
            canary = _find(open_trials(connection, model), "canary")
            if live is not None and canary is not None:
                self._end(connection, canary, "rollback", detail or "taken back by hand")
                return live.version
            stack = _lives(connection, model)
            if live is None or len(stack) < 2:
                raise ConflictError(
                    f"{model} has no earlier live version to go back to.",
                    hint=f"Choose a version with `freehold promote {model}@N`.",
                )
            self._go_live(connection, model, stack[-2], "rollback", detail)
            return stack[-2]

    def try_out(
        self, version: Version, kind: str, terms: Terms, detail: str | None = None
    ) -> Trial:
        """Make a version the shadow or the canary of its model, in place of one that was; the same
        version again changes the terms. Raises ConflictError."""
        with self._database.write() as connection:
            self._lock(connection, version.model)
            live = _live_in(connection, version.model)
            _require_live(version, kind, live)
            assert live is not None
            for trial in open_trials(connection, version.model):
                if trial.version == version.version and trial.kind != "kept":
                    self._close(connection, trial, kind)
                elif trial.kind == kind:
                    self._end(connection, trial, "replaced", f"{version.name} is the {kind} now")
            trial = self._open(connection, version, kind, live.version, terms)
            said = detail or (terms.sentence() if kind == "canary" else f"beside {live.name}")
            self._move(connection, version.model, version.version, kind, kind, said)
            return trial

    def keep(self, version: Version, detail: str | None = None) -> Trial:
        """Keep a version loaded under its number, whatever its stage; twice is once."""
        with self._database.write() as connection:
            self._lock(connection, version.model)
            for trial in open_trials(connection, version.model):
                if trial.kind == "kept" and trial.version == version.version:
                    return trial
            trial = self._open(connection, version, "kept", None, Terms())
            self._move(connection, version.model, version.version, None, "load", detail)
            return trial

    def stop(
        self, version: Version, kinds: Iterable[str], detail: str | None = None
    ) -> list[Trial]:
        """End what there is of these kinds with a version. Raises ConflictError."""
        with self._database.write() as connection:
            self._lock(connection, version.model)
            found = [
                trial
                for trial in open_trials(connection, version.model)
                if trial.version == version.version and trial.kind in kinds
            ]
            for trial in found:
                self._end(connection, trial, "unload" if trial.kind == "kept" else "stop", detail)
        if not found:
            raise ConflictError(
                f"{version.name} is not {' or '.join(kinds)}; it is {version.stage}.",
                hint="`freehold release status` shows what is tried and kept.",
            )
        return found

    def withdraw(self, trial: Trial, detail: str) -> bool:
        """Take back a canary by itself; False if it has ended meanwhile, by another server or by
        hand: exactly one of all who try is told True, and only its sentence is recorded."""
        with self._database.write() as connection:
            self._lock(connection, trial.model)
            return self._end(connection, trial, "auto-rollback", detail)

    def trials(self, model: str | None = None) -> list[Trial]:
        """Those that go on (of one model), in the order they began."""
        with self._database.read() as connection:
            return open_trials(connection, model)

    def trial(self, number: int) -> Trial:
        """One, whether it goes on or not."""
        table = schema.releases
        with self._database.read() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == number)).one_or_none()
        if row is None:
            raise NotFoundError(f"There is no release {number}.")
        return trial_of(row)

    def changes(self, model: str | None = None, limit: int = 20) -> list[Change]:
        """The last decisions (of one model), the newest first."""
        table = schema.stage_changes
        names = ("at", "model", "version", "from_stage", "to_stage", "reason", "detail")
        query = sa.select(*(table.c[name] for name in names)).order_by(table.c.id.desc())
        if model is not None:
            query = query.where(table.c.model == model)
        with self._database.read() as connection:
            return [Change(*row) for row in connection.execute(query.limit(limit))]

    # Within a transaction, under the model's lock.

    def _lock(self, connection: Connection, model: str) -> None:
        self._database.lock(connection, f"model:{model}")

    def _go_live(
        self, connection: Connection, model: str, number: int, reason: str, detail: str | None
    ) -> None:
        for trial in open_trials(connection, model):
            if trial.kind == "kept":
                continue
            if trial.version == number:
                self._close(connection, trial, reason)
            else:
                self._end(connection, trial, "replaced", f"{model}@{number} went live")
        for version in versions_in(connection, model):
            if version.stage == "live" and version.version != number:
                self._move(connection, model, version.version, "retired", reason, detail)
        self._move(connection, model, number, "live", reason, detail)

    def _open(
        self, connection: Connection, version: Version, kind: str, against: int | None, terms: Terms
    ) -> Trial:
        table = schema.releases
        statement = table.insert().returning(table)
        values = {
            "model": version.model,
            "version": version.version,
            "kind": kind,
            "against": against,
            "share": terms.share,
            "customers": dump(terms.customers),
            "sticky": terms.sticky,
            "rule": msgspec.json.encode(terms.rule).decode(),
            "started_at": format_time(self._clock.now()),
            "ended_at": None,
            "outcome": None,
        }
        return trial_of(connection.execute(statement, values).one())

    def _close(self, connection: Connection, trial: Trial, outcome: str) -> bool:
        """Whether it went on until now."""
        table = schema.releases
        done = connection.execute(
            table.update()
            .where(table.c.id == trial.id, table.c.ended_at.is_(None))
            .values(ended_at=format_time(self._clock.now()), outcome=outcome)
        )
        return done.rowcount == 1

    def _end(self, connection: Connection, trial: Trial, reason: str, detail: str | None) -> bool:
        """Close a trial and put its version where it belongs then."""
        if not self._close(connection, trial, reason):
            return False
        to = _AFTER.get(trial.kind)
        self._move(connection, trial.model, trial.version, to, reason, detail)
        return True

    def _move(
        self,
        connection: Connection,
        model: str,
        number: int,
        to: str | None,
        reason: str,
        detail: str | None,
    ) -> None:
        """Put a version into a stage (None: it stays in its own) and write down why."""
        table = schema.versions
        mine = (table.c.model == model, table.c.version == number)
        before = connection.execute(sa.select(table.c.stage).where(*mine)).scalar_one()
        connection.execute(table.update().where(*mine).values(stage=to or before))
        connection.execute(
            schema.stage_changes.insert(),
            {
                "model": model,
                "version": number,
                "from_stage": before,
                "to_stage": to or before,
                "at": format_time(self._clock.now()),
                "reason": reason,
                "detail": detail,
            },
        )


def _live_in(connection: Connection, model: str) -> Version | None:
    live = [version for version in versions_in(connection, model) if version.stage == "live"]
    return live[-1] if live else None


def _find(trials: Iterable[Trial], kind: str) -> Trial | None:
    return next((trial for trial in trials if trial.kind == kind), None)


def _lives(connection: Connection, model: str) -> list[int]:
    """The versions that were live and can be gone back to, the present one last."""
    table = schema.stage_changes
    history = connection.execute(
        sa.select(table.c.version, table.c.reason)
        .where(table.c.model == model, table.c.to_stage == "live")
        .where(table.c.reason.in_(("promote", "rollback")))
        .order_by(table.c.id)
    )
    stack: list[int] = []
    for row in history:
        if row.reason == "rollback":
            stack.pop()
        else:
            stack.append(row.version)
    return stack


def _require_live(version: Version, kind: str, live: Version | None) -> None:
    if live is None:
        raise ConflictError(
            f"{version.model} has no live version that {version.name} could be the {kind} of.",
            hint=f"Make it live at once: `freehold promote {version.name}`.",
        )
    if live.version == version.version:
        raise ConflictError(
            f"{version.name} is live: it answers everybody.",
            hint=f"Name the version that shall be the {kind}.",
        )
    if live.task != version.task:
        raise ConflictError(
            f"{version.name} does {version.task} and {live.name} {live.task}: customers would get "
            "answers of another shape.",
            hint="Give it a model name of its own, or promote it without a trial.",
        )
