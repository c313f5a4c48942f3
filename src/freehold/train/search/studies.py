"""Studies and their trials as rows of the project's database, so that a search can go on later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa

from freehold.clock import Clock, format_time
from freehold.errors import ConflictError, NotFoundError
from freehold.store import schema
from freehold.store.database import Database

__all__ = ["Studies", "Study", "Trial", "finished"]


@dataclass(frozen=True, slots=True)
class Study:
    """A search: what it varies, on which data, and what it ended as."""

    name: str
    model: str
    created_at: str
    settings: dict[str, Any]
    elapsed: float  # seconds of wall time so far, over all its parts
    version: int | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe of a study.

    `state`: running; complete; pruned (hopeless beside the others); cut (the budget ended while it
    ran); failed (`facts["why"]`). `scores` are of dev after each epoch.
    """

    study: str
    number: int  # 0 is the recipe as it stood
    state: str
    knobs: dict[str, Any]
    scores: tuple[float, ...]
    started_at: str
    ended_at: str | None
    seconds: float  # of the machine: wall time times the share of it that the trial held
    cost: Decimal
    facts: dict[str, Any]

    @property
    def score(self) -> float | None:
        """Of its best epoch; None before the first one ended."""
        found: float | None = self.facts.get("score")
        return found if found is not None else max(self.scores, default=None)

    def document(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "state": self.state,
            "knobs": self.knobs,
            "score": self.score,
            "scores": list(self.scores),
            "seconds": self.seconds,
            "cost": f"{self.cost:f}",
            **({"why": self.facts["why"]} if "why" in self.facts else {}),
        }


class Studies:
    """The rows; numbers are given here, so that two searches at once could not share one."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(self, name: str, model: str, settings: Mapping[str, Any]) -> Study:
        """Raises ConflictError where there is one of that name."""
        if self.find(name) is not None:
            raise ConflictError(
                f"There is a study {name!r} already.",
                hint="Go on with it by --resume, or choose another --study.",
            )
        with self._database.write() as connection:
            connection.execute(
                schema.studies.insert(),
                {
                    "name": name,
                    "model": model,
                    "created_at": format_time(self._clock.now()),
                    "settings": _dump(settings),
                    "elapsed_ms": 0,
                    "version": None,
                },
            )
        return self.get(name)

    def find(self, name: str) -> Study | None:
        table = schema.studies
        with self._database.read() as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).first()
        return None if row is None else _study(row)

    def get(self, name: str) -> Study:
        """Raises NotFoundError."""
        found = self.find(name)
        if found is None:
            raise NotFoundError(f"There is no study {name!r}.", hint="Leave out --resume.")
        return found

    def of(self, model: str) -> list[Study]:
        """The model's studies, oldest first."""
        table = schema.studies
        query = sa.select(table).where(table.c.model == model)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created_at, table.c.name)).all()
        return [_study(row) for row in rows]

    def trials(self, name: str) -> list[Trial]:
        """All trials of a study by number."""
        table = schema.trials
        with self._database.read() as connection:
            rows = connection.execute(
                sa.select(table).where(table.c.study == name).order_by(table.c.number)
            ).all()
        return [_trial(row) for row in rows]

    def begin(self, name: str, number: int, knobs: Mapping[str, Any]) -> None:
        """Write a running trial down."""
        with self._database.write() as connection:
            connection.execute(
                schema.trials.insert(),
                {
                    "study": name,
                    "number": number,
                    "state": "running",
                    "knobs": _dump(knobs),
                    "scores": "[]",
                    "started_at": format_time(self._clock.now()),
                    "ended_at": None,
                    "machine_ms": 0,
                    "cost": "0",
                    "facts": "{}",
                },
            )

    def scored(
        self, name: str, number: int, scores: tuple[float, ...], *, seconds: float, cost: Decimal
    ) -> None:
        """The dev scores of a running trial so far, and what it took: should the search be killed,
        only what came after is lost."""
        self._set(
            name,
            number,
            scores=_dump(scores),
            machine_ms=round(seconds * 1000),
            cost=f"{cost:f}",
        )

    def end(
        self,
        name: str,
        number: int,
        *,
        state: str,
        seconds: float,
        cost: Decimal,
        facts: Mapping[str, Any],
        elapsed: float,
    ) -> None:
        """Write down how a trial ended, and how long the whole search has taken."""
        self._set(
            name,
            number,
            state=state,
            ended_at=format_time(self._clock.now()),
            machine_ms=round(seconds * 1000),
            cost=f"{cost:f}",
            facts=_dump(facts),
        )
        self._set_study(name, elapsed_ms=round(elapsed * 1000))

    def abandon(self, name: str) -> int:
        """Mark trials as failed that a killed search left running; returns how many."""
        table = schema.trials
        with self._database.write() as connection:
            done = connection.execute(
                table.update()
                .where(table.c.study == name, table.c.state == "running")
                .values(
                    state="failed",
                    ended_at=format_time(self._clock.now()),
                    facts=_dump({"why": "stopped before it ended", "stopped": True}),
                )
            )
        return int(done.rowcount)

    def finish(self, name: str, version: int) -> None:
        """Note which version the search ended as."""
        self._set_study(name, version=version)

    def _set(self, name: str, number: int, **values: Any) -> None:
        table = schema.trials
        with self._database.write() as connection:
            connection.execute(
                table.update()
                .where(table.c.study == name, table.c.number == number)
                .values(**values)
            )

    def _set_study(self, name: str, **values: Any) -> None:
        table = schema.studies
        with self._database.write() as connection:
            connection.execute(table.update().where(table.c.name == name).values(**values))


def finished(trials: list[Trial]) -> list[Trial]:
    """The trials with a score, best first; of equal scores the earlier first."""
    scored = [trial for trial in trials if trial.state != "failed" and trial.score is not None]
    return sorted(scored, key=lambda trial: (-(trial.score or 0.0), trial.number))


def _study(row: sa.Row[Any]) -> Study:
    return Study(
        name=row.name,
        model=row.model,
        created_at=row.created_at,
        settings=msgspec.json.decode(row.settings),
        elapsed=row.elapsed_ms / 1000,
        version=row.version,
    )


def _trial(row: sa.Row[Any]) -> Trial:
    return Trial(
        study=row.study,
        number=row.number,
        state=row.state,
        knobs=msgspec.json.decode(row.knobs),
        scores=tuple(msgspec.json.decode(row.scores)),
        started_at=row.started_at,
        ended_at=row.ended_at,
        seconds=row.machine_ms / 1000,
        cost=Decimal(row.cost),
        facts=msgspec.json.decode(row.facts),
    )


def _dump(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
