"""Name, default, help: each setting once, as a frozen dataclass's field or in ENVIRONMENT."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ENVIRONMENT",
    "EnvironmentSetting",
    "Setting",
    "read_environment",
    "setting",
    "settings_of",
]


def setting(default: Any, help: str) -> Any:
    """A dataclass field that carries its help text; lists are given as tuples."""
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata={"help": help})
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class Setting:
    section: str
    name: str
    type: str
    default: Any
    help: str


def settings_of(section: str, cls: type[Any]) -> Iterator[Setting]:
    """Every setting that a section's dataclass declares, in its order."""
    for field in dataclasses.fields(cls):
        default = None if field.default is dataclasses.MISSING else field.default
        yield Setting(section, field.name, str(field.type), default, field.metadata.get("help", ""))


@dataclass(frozen=True, slots=True)
class EnvironmentSetting:
    name: str
    default: str
    help: str


ENVIRONMENT = (
    EnvironmentSetting(
        "FREEHOLD_DATABASE_URL",
        "",
        "Where the state lives: empty for SQLite in .freehold/freehold.db, or "
        "postgresql://USER:PASSWORD@HOST/NAME.",
    ),
    EnvironmentSetting(
        "MLFLOW_TRACKING_URI",
        "",
        "MLflow store that runs are logged to, in place of tracking_uri under [train].",
    ),
)


def read_environment(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The value of a declared environment variable, or its default."""
    declared = {item.name: item for item in ENVIRONMENT}
    return (environ if environ is not None else os.environ).get(name, declared[name].default)
