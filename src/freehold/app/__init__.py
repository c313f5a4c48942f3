"""The composition root: opens a project's state and hands each stage what it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.app.track_store import located
from freehold.clock import Clock, SystemClock
from freehold.errors import DataError
from freehold.project import Project
from freehold.registry import Registry, Version
from freehold.settings import read_environment
from freehold.store.database import Database

if TYPE_CHECKING:
    from freehold.tasks.types import Dataset

__all__ = ["App", "open_app", "open_database"]

_LOG = logging.getLogger("freehold")


def open_database(project: Project, environ: Mapping[str, str] | None = None) -> Database:
    """The project's database: SQLite in its state folder, or FREEHOLD_DATABASE_URL."""
    url = read_environment("FREEHOLD_DATABASE_URL", environ)
    return Database.open(url) if url else Database.open_file(project.state / "freehold.db")


@dataclass(frozen=True, slots=True)
class App:
    """A project with its state opened."""

    project: Project
    database: Database
    registry: Registry
    clock: Clock
    # Where a sentence goes that neither is the result nor ends the work.
    remark: Callable[[str], None] = _LOG.warning
    tracking_uri: str = ""  # of an MLflow store; empty: runs are not logged

    def version(self, reference: str | None, *, newest: bool = False) -> Version:
        """The version a verb names; without a number the live one, or with `newest` the last.
        ConflictError for one that answers nothing, as it is only there to start from."""
        name = reference or self.project.model
        last = newest and "@" not in name
        version = self.registry.newest(name) if last else self.registry.get(name)
        version.must_answer()
        return version

    def read(
        self,
        path: Path,
        *,
        task: str | None = None,
        labelled: bool = True,
        text: str | None = None,
        label: str | None = None,
    ) -> Dataset:
        """A data file; its task and columns are the project's unless given."""
        from freehold.data.read import read_dataset

        files = self.project.data
        return read_dataset(
            path,
            task=task or self.project.task.kind,
            text=text or files.text or None,
            label=label or files.label or None,
            labelled=labelled,
        )

    def data_path(self, given: Path | None, setting: str) -> Path:
        """The file named on the command line, else the one in [data]. Raises DataError."""
        if given is not None:
            return given
        named: str = getattr(self.project.data, setting)
        if not named:
            raise DataError(
                f"No {setting} file is named.",
                hint=f"Give it on the command line, or set {setting} under [data].",
            )
        return self.project.root / named

    def dev_of(self, version: Version, given: Path | None = None) -> Dataset | None:
        """The dev texts that a version was chosen by, if they are still what they were."""
        if given is not None:
            return self.read(given, task=version.task)
        return self._unchanged(version, "dev")

    def train_of(self, version: Version) -> Dataset | None:
        """The texts that a version learnt from, if they are still what they were."""
        return self._unchanged(version, "train")

    def _unchanged(self, version: Version, part: str) -> Dataset | None:
        origin = version.lineage["data"].get(part)  # what was pretrained only has none
        if origin is None or not (path := self.project.root / origin["path"]).is_file():
            return None
        # By the columns that it was made with: nobody need name them again.
        columns = origin.get("columns") or [None]
        data = self.read(path, task=version.task, text=columns[0], label=columns[-1])
        return data if data.sha256 == origin["sha256"] else None


@contextmanager
def open_app(
    project: Project,
    clock: Clock | None = None,
    environ: Mapping[str, str] | None = None,
    remark: Callable[[str], None] = _LOG.warning,
) -> Iterator[App]:
    """Open the project's database and registry; closed at the end of the block. Remarks go into
    the log `freehold` unless something takes them."""
    clock = clock or SystemClock()
    with open_database(project, environ) as database:
        registry = Registry(database, project.state, clock)
        yield App(project, database, registry, clock, remark, _tracking_uri(project, environ))


def _tracking_uri(project: Project, environ: Mapping[str, str] | None) -> str:
    """The environment's, else the project's; relative files are below where one stands, or below
    the project."""
    given, own = read_environment("MLFLOW_TRACKING_URI", environ), project.train.tracking_uri
    if given:
        return located(given, Path.cwd())
    return located(own, project.root) if own else ""
