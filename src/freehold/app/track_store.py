"""An MLflow store behind calls that never raise: a store that fails costs one remark, no training.

The only file that knows MLflow. It takes its client, not `mlflow.start_run` and what goes with it,
whose state is global to the process.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from freehold.clock import SystemClock

__all__ = ["Store", "located"]

T = TypeVar("T")

# MLflow's own defaults wait minutes for a server that does not answer, print links where a verb
# prints its document, and report use to its makers. What the user has set stays.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",  # seconds
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
LONGEST = 5000  # characters of a parameter or a tag that every store takes
BATCH = 100  # parameters in one request
LOUD = ("mlflow", "alembic", "urllib3", "sqlalchemy")


class Store:
    """Where runs are logged. After its first failure nothing more is sent."""

    def __init__(self, uri: str, remark: Callable[[str], None]) -> None:
        """Opens nothing yet. `uri` is as `located` gives it; the first failure goes to `remark`."""
        self._uri, self._remark = uri, remark
        self._client: Any = None
        self._clock = SystemClock()
        self._broken = self._remarked = False

    def begin(
        self, experiment: str, name: str, tags: Mapping[str, str], parent: str | None = None
    ) -> str | None:
        """A new run's id, of a run within `parent` if given; None where that failed."""

        def do(client: Any) -> str:
            known = client.get_experiment_by_name(experiment)
            number = (
                client.create_experiment(experiment, artifact_location=self._artifacts())
                if known is None
                else known.experiment_id
            )
            nested = {} if parent is None else {"mlflow.parentRunId": parent}
            run = client.create_run(number, run_name=name, tags={**_cut(tags), **nested})
            return str(run.info.run_id)

        return self._try(do)

    def find(self, experiment: str, tags: Mapping[str, str]) -> str | None:
        """The newest run with these tags."""

        def do(client: Any) -> str | None:
            known = client.get_experiment_by_name(experiment)
            if known is None:
                return None
            asked = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
            runs = client.search_runs([known.experiment_id], asked, max_results=1)
            return str(runs[0].info.run_id) if runs else None

        return self._try(do)

    def log(
        self,
        run: str | None,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        step: int = 0,
    ) -> None:
        """Add to a run; a figure that is no number is left out."""
        now = round(self._clock.now().timestamp() * 1000)

        def do(client: Any) -> None:
            from mlflow.entities import Metric, Param, RunTag

            values = [
                Metric(name, float(value), now, step)
                for name, value in (metrics or {}).items()
                if math.isfinite(value)
            ]
            said = [Param(name, value) for name, value in _cut(params or {}).items()]
            marks = [RunTag(name, value) for name, value in _cut(tags or {}).items()]
            client.log_batch(run, metrics=values, params=said[:BATCH], tags=marks)

        if run is not None:
            self._try(do)

    def keep_text(self, run: str | None, name: str, text: str) -> None:
        """Store a text as a file of the run. Where files cannot be stored, figures still are."""
        if run is not None:
            self._try(lambda client: client.log_text(run, text, name), goes_on=True)

    def keep_file(self, run: str | None, path: Path, folder: str) -> None:
        """Store a file in a folder of the run's."""
        if run is not None:
            self._try(lambda client: client.log_artifact(run, str(path), folder), goes_on=True)

    def end(self, run: str | None, status: str, name: str | None = None) -> None:
        """End a run, FINISHED, FAILED or KILLED, under another name if given."""

        def do(client: Any) -> None:
            if name is not None:
                client.update_run(run, name=name)
            client.set_terminated(run, status=status)

        if run is not None:
            self._try(do)

    def _try(self, do: Callable[[Any], T], *, goes_on: bool = False) -> T | None:
        if self._broken:
            return None
        try:
            with _quiet():
                client = self._library()
            with _quiet():  # again, as MLflow sets its loggers when it is loaded
                return do(self._opened(client))
        except ModuleNotFoundError as error:
            ours = (error.name or "").partition(".")[0] == "mlflow"
            missing = "mlflow is not installed: pip install 'freehold[mlflow]'"
            self._fail("Runs", missing if ours else _reason(error))
        except Exception as error:  # noqa: BLE001 # whatever a store raises, training goes on
            self._fail("Files" if goes_on else "Runs", _reason(error))
        self._broken = not goes_on
        return None

    def _library(self) -> Any:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if urlsplit(self._uri).scheme == "file":
            # MLflow refuses folders, in favour of databases, unless one insists: here one does.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        return MlflowClient

    def _opened(self, client: Any) -> Any:
        if self._client is None:
            if (database := _sqlite_file(self._uri)) is not None:
                database.parent.mkdir(parents=True, exist_ok=True)
            self._client = client(tracking_uri=self._uri)
        return self._client

    def _artifacts(self) -> str | None:
        """A folder beside a SQLite file; elsewhere the store knows best."""
        database = _sqlite_file(self._uri)
        return None if database is None else database.with_suffix(".artifacts").as_uri()

    def _fail(self, what: str, reason: str) -> None:
        if not self._remarked:
            self._remarked = True
            shown, secret = _without_secret(self._uri)
            reason = reason.replace(secret, "") if secret else reason
            self._remark(f"{what} are not logged to {shown}: {reason}. The work goes on.")


def located(uri: str, folder: Path) -> str:
    """A tracking URI with nothing left to where one stands: relative files are below `folder`, and
    a bare path is a folder."""
    relative = uri.removeprefix("sqlite:///")
    if relative != uri:
        path = relative.partition("?")[0]
        return uri if path.startswith("/") or not path else f"sqlite:///{folder / relative}"
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file"):
        return uri
    return (folder / (parts.path or uri)).resolve().as_uri()


def _sqlite_file(uri: str) -> Path | None:
    path = uri.removeprefix("sqlite:///").partition("?")[0]
    return Path(path) if uri.startswith("sqlite:///") and path else None


def _cut(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:LONGEST] for name, value in values.items() if value is not None}


def _reason(error: BaseException) -> str:
    """What was at the bottom of it, in a line."""
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    first = str(error).strip().partition("\n")[0]
    return (first or type(error).__name__).rstrip(".")[:300]


def _without_secret(uri: str) -> tuple[str, str]:
    """The URI as it may be shown, and what was taken out of it."""
    name, at, _ = urlsplit(uri).netloc.rpartition("@")
    return (uri.replace(name + at, "", 1), name + at) if at else (uri, "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what MLflow and those below it say to standard error on the way."""
    before = {name: logging.getLogger(name).level for name in LOUD}
    try:
        for name in LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
