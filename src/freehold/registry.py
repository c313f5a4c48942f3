"""Versions of models: lineage, stages (candidate -> live -> retired), files by their content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.clock import Clock, format_time
from freehold.errors import ConflictError, InputError, NotFoundError
from freehold.store import schema
from freehold.store.blobs import Blob, BlobStore
from freehold.store.database import Database

__all__ = ["ASIDE", "Bundle", "Registry", "Version", "is_reference"]

# Tasks of versions that only serve as the base of others, and the verb that starts from one.
_STARTS = {"masked-lm": "train", "causal-lm": "pretrain --objective clm --corpus FILE"}
ASIDE = "aside/"  # what names begin with of files that belong to a version and not to its weights
_REFERENCE = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,63})(?:@([1-9]\d{0,8}))?")


@dataclass(frozen=True, slots=True)
class Version:
    """A trained model: what it learnt from, how, what that cost, and its files."""

    model: str
    version: int
    task: str
    stage: str
    created_at: str
    labels: tuple[str, ...]
    lineage: dict[str, Any]
    metrics: dict[str, Any]
    train_seconds: float
    examples: int
    train_cost: Decimal
    label_cost: Decimal
    currency: str
    files: dict[str, Blob]

    @property
    def name(self) -> str:
        """model@version."""
        return f"{self.model}@{self.version}"

    @property
    def settings(self) -> dict[str, Any]:
        """What was tuned on the dev set once the weights stood: a temperature, thresholds …"""
        found: dict[str, Any] = self.metrics.get("settings", {})
        return found

    @property
    def temperature(self) -> float:
        """What logits are divided by before the softmax; fitted on the dev set, 1.0 without one."""
        return float(self.settings.get("temperature", self.metrics.get("temperature", 1.0)))

    def must_answer(self) -> None:
        """ConflictError if this is a checkpoint to start from, which has no task of its own."""
        if self.task in _STARTS:
            again = f"freehold {_STARTS[self.task]} --base {self.name}"
            raise ConflictError(
                f"{self.name} is a {self.task} checkpoint to start from: it answers nothing by "
                "itself, so it cannot be evaluated, exported, promoted or asked.",
                hint=f"Go on from it: `{again}`.",
            )

    def document(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "task": self.task,
            "stage": self.stage,
            "created_at": self.created_at,
            "labels": list(self.labels),
            "lineage": self.lineage,
            "metrics": self.metrics,
            "train_seconds": self.train_seconds,
            "examples": self.examples,
            "cost": {
                "training": str(self.train_cost),
                "labelling": str(self.label_cost),
                "currency": self.currency,
            },
            "files": {name: blob.sha256 for name, blob in self.files.items()},
        }


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was exported from a version last."""

    id: int
    model: str
    version: int
    engine: str
    precision: str
    report: dict[str, Any]
    files: dict[str, Blob]


class Registry:
    """The versions of a project; `folder` is the state folder for laid-out files."""

    def __init__(self, database: Database, folder: Path, clock: Clock) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._blobs = BlobStore(folder / "blobs")

    def add(
        self,
        *,
        model: str,
        task: str,
        labels: tuple[str, ...],
        folder: Path,
        lineage: Mapping[str, Any],
        metrics: Mapping[str, Any],
        train_seconds: float,
        examples: int,
        train_cost: Decimal,
        label_cost: Decimal,
        currency: str,
    ) -> Version:
        """Store a checkpoint folder as the model's next version, a candidate."""
        files = self._blobs.put_folder(folder)
        with self._database.write() as connection:
            self._database.lock(connection, f"model:{model}")
            number = 1 + (
                connection.scalar(
                    sa.select(sa.func.max(schema.versions.c.version)).where(
                        schema.versions.c.model == model
                    )
                )
                or 0
            )
            connection.execute(
                schema.versions.insert(),
                {
                    "model": model,
                    "version": number,
                    "task": task,
                    "stage": "candidate",
                    "created_at": format_time(self._clock.now()),
                    "labels": _dump(labels),
                    "lineage": _dump(lineage),
                    "metrics": _dump(metrics),
                    "train_ms": round(train_seconds * 1000),
                    "examples": examples,
                    "train_cost": f"{train_cost:f}",
                    "label_cost": f"{label_cost:f}",
                    "currency": currency,
                    "files": _dump_files(files),
                },
            )
        return self.get(f"{model}@{number}")

    def get(self, reference: str) -> Version:
        """`bank@3`, or `bank`: its live version, else its newest. Raises NotFoundError."""
        model, number = parse_reference(reference)
        with self._database.read() as connection:
            rows = _rows(connection, model)
        if not rows:
            known = ", ".join(sorted({v.model for v in self.all()})) or "none yet"
            raise NotFoundError(
                f"There is no model {model!r}; models: {known}.",
                hint="Train one with `freehold train`.",
            )
        if number is None:
            live = [version for version in rows if version.stage == "live"]
            return live[-1] if live else rows[-1]
        for version in rows:
            if version.version == number:
                return version
        raise NotFoundError(f"{model} has versions 1 to {rows[-1].version}, not {number}.")

    def newest(self, model: str) -> Version:
        """The version made last, whatever its stage."""
        with self._database.read() as connection:
            rows = _rows(connection, model)
        return rows[-1] if rows else self.get(model)

    def all(self) -> list[Version]:
        """Every version of every model, by model and number."""
        with self._database.read() as connection:
            return _rows(connection)

    def live(self) -> list[Version]:
        """The live version of every model that has one."""
        return [version for version in self.all() if version.stage == "live"]

    def checkpoint(self, version: Version) -> Path:
        """A folder with the version's weights and what loads them, verified."""
        files = {name: blob for name, blob in version.files.items() if not name.startswith(ASIDE)}
        return self._blobs.materialise(files, self._folder / "checkpoints" / version.name)

    def keep(self, version: Version, name: str, content: bytes) -> Version:
        """Put a file beside the version's weights, in the place of one of that name if there is;
        `name` begins with ASIDE, so that no checkpoint has it. Raises StoreError."""
        assert name.startswith(ASIDE), name
        blob = self._blobs.put_bytes(name, content)
        table = schema.versions
        mine = (table.c.model == version.model, table.c.version == version.version)
        with self._database.write() as connection:
            self._database.lock(connection, f"model:{version.model}")
            text = connection.execute(sa.select(table.c.files).where(*mine)).scalar_one()
            files = {**_load_files(text), name: blob}
            connection.execute(table.update().where(*mine).values(files=_dump_files(files)))
        return self.get(version.name)

    def read(self, version: Version, name: str) -> bytes | None:
        """One of the version's files, verified; None where it has none of that name."""
        blob = version.files.get(name)
        return None if blob is None else self._blobs.read(name, blob)

    def add_bundle(
        self, version: Version, folder: Path, *, engine: str, precision: str, report: Any
    ) -> Bundle:
        """Store an exported bundle; the newest one of a version is the one that serves."""
        files = self._blobs.put_folder(folder)
        with self._database.write() as connection:
            connection.execute(
                schema.bundles.insert(),
                {
                    "model": version.model,
                    "version": version.version,
                    "created_at": format_time(self._clock.now()),
                    "engine": engine,
                    "precision": precision,
                    "report": _dump(report),
                    "files": _dump_files(files),
                },
            )
        return self.bundle(version)

    def bundle(self, version: Version) -> Bundle:
        """The newest bundle of a version. Raises NotFoundError when it was never exported."""
        table = schema.bundles
        with self._database.read() as connection:
            row = connection.execute(
                sa.select(table)
                .where(table.c.model == version.model, table.c.version == version.version)
                .order_by(table.c.id.desc())
                .limit(1)
            ).first()
        if row is None:
            raise NotFoundError(
                f"{version.name} has not been exported.",
                hint=f"Run `freehold export {version.name}` first.",
            )
        return Bundle(
            id=row.id,
            model=row.model,
            version=row.version,
            engine=row.engine,
            precision=row.precision,
            report=msgspec.json.decode(row.report),
            files=_load_files(row.files),
        )

    def bundle_folder(self, version: Version) -> Path:
        """A folder with the version's newest bundle, verified."""
        bundle = self.bundle(version)
        return self._blobs.materialise(bundle.files, self._folder / "bundles" / version.name)

    def promote(self, reference: str) -> Version:
        """Make a version the live one; the one that was live retires. It must have a bundle."""
        version = self.get(reference) if "@" in reference else self.newest(reference)
        version.must_answer()
        self.bundle(version)
        if version.stage == "live":
            return version
        self._go_live(version, "promote")
        return self.get(version.name)

    def rollback(self, model: str) -> Version:
        """Make the version live again that was live before the present one."""
        model, _ = parse_reference(model)
        current = self.get(model)
        table = schema.stage_changes
        with self._database.read() as connection:
            history = connection.execute(
                sa.select(table.c.version, table.c.reason)
                .where(table.c.model == model, table.c.to_stage == "live")
                .order_by(table.c.id)
            ).all()
        stack: list[int] = []
        for row in history:
            if row.reason == "rollback":
                stack.pop()
            else:
                stack.append(row.version)
        if current.stage != "live" or len(stack) < 2:
            raise ConflictError(
                f"{model} has no earlier live version to go back to.",
                hint=f"Choose a version with `freehold promote {model}@N`.",
            )
        self._go_live(self.get(f"{model}@{stack[-2]}"), "rollback")
        return self.get(model)

    def _go_live(self, version: Version, reason: str) -> None:
        """Retire what is live and put `version` there, in one transaction, with its trace."""
        table = schema.versions
        at = format_time(self._clock.now())
        with self._database.write() as connection:
            self._database.lock(connection, f"model:{version.model}")
            changes = [
                (v.version, v.stage, "retired")
                for v in _rows(connection, version.model)
                if v.stage == "live"
            ]
            changes.append((version.version, version.stage, "live"))
            for number, before, after in changes:
                connection.execute(
                    table.update()
                    .where(table.c.model == version.model, table.c.version == number)
                    .values(stage=after)
                )
                connection.execute(
                    schema.stage_changes.insert(),
                    {
                        "model": version.model,
                        "version": number,
                        "from_stage": before,
                        "to_stage": after,
                        "at": at,
                        "reason": reason,
                    },
                )


def is_reference(name: str) -> bool:
    """Whether this names one version: bank@3."""
    match = _REFERENCE.fullmatch(name)
    return match is not None and match[2] is not None


def parse_reference(reference: str) -> tuple[str, int | None]:
    """`bank@3` -> ("bank", 3); `bank` -> ("bank", None). Raises InputError."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InputError(f"{reference!r} does not name a model.", hint="Write bank or bank@3.")
    return match[1], int(match[2]) if match[2] else None


def _rows(connection: Connection, model: str | None = None) -> list[Version]:
    table = schema.versions
    query = sa.select(table).order_by(table.c.model, table.c.version)
    if model is not None:
        query = query.where(table.c.model == model)
    return [_version(row) for row in connection.execute(query)]


def _version(row: Row[Any]) -> Version:
    return Version(
        model=row.model,
        version=row.version,
        task=row.task,
        stage=row.stage,
        created_at=row.created_at,
        labels=tuple(msgspec.json.decode(row.labels)),
        lineage=msgspec.json.decode(row.lineage),
        metrics=msgspec.json.decode(row.metrics),
        train_seconds=row.train_ms / 1000,
        examples=row.examples,
        train_cost=Decimal(row.train_cost),
        label_cost=Decimal(row.label_cost),
        currency=row.currency,
        files=_load_files(row.files),
    )


def _dump(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _dump_files(files: Mapping[str, Blob]) -> str:
    return _dump({name: {"sha256": b.sha256, "size": b.size} for name, b in files.items()})


def _load_files(text: str) -> dict[str, Blob]:
    return {name: Blob(**entry) for name, entry in msgspec.json.decode(text).items()}
