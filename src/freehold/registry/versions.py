"""What the registry holds: versions with their lineage and files, bundles, and names for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, Row

from freehold.errors import ConflictError, InputError
from freehold.store import schema
from freehold.store.blobs import Blob

__all__ = [
    "Bundle",
    "Version",
    "dump",
    "dump_files",
    "is_reference",
    "load_files",
    "parse_reference",
    "versions_in",
]

# Tasks of versions that only serve as the base of others, and the verb that starts from one.
_STARTS = {"masked-lm": "train", "causal-lm": "pretrain --objective clm --corpus FILE"}
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


def versions_in(connection: Connection, model: str | None = None) -> list[Version]:
    """Every version (of one model), by model and number."""
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
        files=load_files(row.files),
    )


def dump(value: Any) -> str:
    """Canonical JSON."""
    return msgspec.json.encode(value, order="sorted").decode()


def dump_files(files: Mapping[str, Blob]) -> str:
    return dump({name: {"sha256": b.sha256, "size": b.size} for name, b in files.items()})


def load_files(text: str) -> dict[str, Blob]:
    return {name: Blob(**entry) for name, entry in msgspec.json.decode(text).items()}
