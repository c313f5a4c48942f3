"""The registry: versions of models and their files, found by name and kept by content."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from freehold.clock import Clock, format_time
from freehold.errors import NotFoundError
from freehold.registry.stages import Stages
from freehold.registry.trials import Terms, Trial
from freehold.registry.versions import (
    Bundle,
    Version,
    dump,
    dump_files,
    load_files,
    parse_reference,
    versions_in,
)
from freehold.store import schema
from freehold.store.blobs import BlobStore
from freehold.store.database import Database

__all__ = ["ASIDE", "Registry"]

ASIDE = "aside/"  # what names begin with of files that belong to a version and not to its weights


class Registry:
    """The versions of a project; `folder` is the state folder for laid-out files."""

    def __init__(self, database: Database, folder: Path, clock: Clock) -> None:
        self._database = database
        self._folder = folder
        self._clock = clock
        self._blobs = BlobStore(folder / "blobs")
        self.stages = Stages(database, clock)

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
                    "labels": dump(labels),
                    "lineage": dump(lineage),
                    "metrics": dump(metrics),
                    "train_ms": round(train_seconds * 1000),
                    "examples": examples,
                    "train_cost": f"{train_cost:f}",
                    "label_cost": f"{label_cost:f}",
                    "currency": currency,
                    "files": dump_files(files),
                },
            )
        return self.get(f"{model}@{number}")

    def get(self, reference: str) -> Version:
        """`bank@3`, or `bank`: its live version, else its newest. Raises NotFoundError."""
        model, number = parse_reference(reference)
        with self._database.read() as connection:
            rows = versions_in(connection, model)
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
            rows = versions_in(connection, model)
        return rows[-1] if rows else self.get(model)

    def all(self) -> list[Version]:
        """Every version of every model, by model and number."""
        with self._database.read() as connection:
            return versions_in(connection)

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
            files = {**load_files(text), name: blob}
            connection.execute(table.update().where(*mine).values(files=dump_files(files)))
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
                    "report": dump(report),
                    "files": dump_files(files),
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
            files=load_files(row.files),
        )

    def bundle_folder(self, version: Version) -> Path:
        """A folder with the version's newest bundle, verified."""
        bundle = self.bundle(version)
        return self._blobs.materialise(bundle.files, self._folder / "bundles" / version.name)

    def promote(self, reference: str, why: str | None = None) -> Version:
        """Make a version the live one; the one that was live retires. It must have a bundle."""
        version = self.exported(reference)
        if version.stage == "live":
            return version
        self.stages.go_live(version, "promote", why)
        return self.get(version.name)

    def rollback(self, model: str, why: str | None = None) -> Version:
        """Take back the model's canary, or where there is none make the version live again that was
        live before the present one; the version that is live then. Raises ConflictError."""
        model, _ = parse_reference(model)
        self.get(model)
        return self.get(f"{model}@{self.stages.back(model, why)}")

    def shadow(self, reference: str, terms: Terms, why: str | None = None) -> Trial:
        """Let a version answer a share of the requests beside the live one, to be compared. Raises
        ConflictError."""
        return self.stages.try_out(self.exported(reference), "shadow", terms, why)

    def canary(self, reference: str, terms: Terms, why: str | None = None) -> Trial:
        """Let a version answer some of the customers. Raises ConflictError."""
        return self.stages.try_out(self.exported(reference), "canary", terms, why)

    def exported(self, reference: str) -> Version:
        """A version that can answer customers; without a number the newest. Raises NotFoundError
        and ConflictError."""
        version = self.get(reference) if "@" in reference else self.newest(reference)
        version.must_answer()
        self.bundle(version)
        return version
