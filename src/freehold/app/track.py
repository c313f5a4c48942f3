"""Runs in MLflow where a tracking URI is set: a run for each training, one within it for each trial
of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.app import App
from freehold.app.card import CARD
from freehold.app.track_store import Store
from freehold.app.versions import origin
from freehold.errors import FreeholdError
from freehold.registry import Version
from freehold.tasks.registry import task_of

if TYPE_CHECKING:
    from freehold.tasks.types import Dataset
    from freehold.train.progress import Progress
    from freehold.train.search.conduct import Told

__all__ = ["Tracked", "log_report", "tracking"]


class Tracked:
    """The run of one training; without a tracking URI it does nothing."""

    def __init__(self, app: App, store: Store | None, run: str | None, score_name: str) -> None:
        self._app, self._store, self._run = app, store, run
        self._score_name = score_name
        self._said: set[str] = set()  # parameters cannot be said again
        self._trials: dict[int, str | None] = {}  # under way
        self._status = "KILLED"  # until a version stands
        self._name: str | None = None

    def say(self, params: Mapping[str, Any]) -> None:
        """Parameters, each the first time only; None is what is not known yet."""
        new = {n: v for n, v in params.items() if v is not None and n not in self._said}
        self._said |= set(new)
        if self._store is not None and new:
            self._store.log(self._run, params=new)

    def watch(
        self, on_progress: Callable[[Progress], None] | None
    ) -> Callable[[Progress], None] | None:
        """`on_progress`, and each epoch's figures into the run."""
        if self._store is None:
            return on_progress

        def tell(progress: Progress) -> None:
            self._epoch(self._run, progress)
            if on_progress is not None:
                on_progress(progress)

        return tell

    def registered(self, version: Version) -> None:
        """The version that the run came to: its figures, cost, digests, card and lineage."""
        if self._store is None:
            return
        registry = self._app.registry
        written = registry.read(version, "freehold.json")
        if written is not None:  # the recipe as it was settled
            self.say(msgspec.json.decode(written).get("recipe", {}))
        self._store.log(
            self._run,
            metrics=_figures(version),
            tags={"freehold.model": version.model, "freehold.version": version.name},
        )
        card = registry.read(version, CARD)
        if card is not None:
            self._store.keep_text(self._run, "card.md", card.decode())
        lineage = msgspec.json.format(msgspec.json.encode(version.lineage), indent=2).decode()
        self._store.keep_text(self._run, "lineage.json", lineage)
        self._name = version.name
        self._status = "KILLED" if version.metrics.get("interrupted") else "FINISHED"

    def trial_changed(self, told: Told) -> None:
        """A trial of a search began or ended; it is a run within this one."""
        if self._store is None:
            return
        number = told.number
        if number not in self._trials:
            tags = {"freehold.trial": str(number)}
            name = f"trial {number}"
            self._trials[number] = self._store.begin(
                self._app.project.name, name, tags, parent=self._run
            )
            self._store.log(self._trials[number], params=told.knobs)
        if told.state != "running":
            run = self._trials.pop(number)
            best = {f"best_dev_{self._score_name}": max(told.scores)} if told.scores else {}
            tags = {
                "freehold.state": told.state,
                **({"freehold.why": told.why} if told.why else {}),
            }
            self._store.log(run, metrics=best, tags=tags)
            self._store.end(run, "FAILED" if told.state == "failed" else "FINISHED")

    def trial_progress(self, number: int, progress: Progress) -> None:
        """Each epoch's figures into the trial's run."""
        self._epoch(self._trials.get(number), progress)

    def end(self, error: BaseException | None) -> None:
        """The run ended; a training that was stopped is KILLED."""
        if self._store is None:
            return
        for run in self._trials.values():
            self._store.end(run, "KILLED")
        if error is not None and not isinstance(error, KeyboardInterrupt):
            self._status = "FAILED"
            why = error.sentence() if isinstance(error, FreeholdError) else type(error).__name__
            self._store.log(self._run, tags={"freehold.why": why})
        self._store.end(self._run, self._status, self._name)

    def _epoch(self, run: str | None, progress: Progress) -> None:
        if self._store is None or progress.score is None:
            return
        figures = {
            "loss": progress.loss,
            "examples_per_second": progress.examples_per_second,
            **_told(self._score_name, progress.score),
        }
        self._store.log(run, metrics=figures, step=progress.epoch)


@contextmanager
def tracking(
    app: App,
    *,
    model: str,
    method: str,
    task: str,
    recipe: Mapping[str, Any],
    data: Mapping[str, Dataset],
    parent: str | None = None,
    score_name: str | None = None,
) -> Iterator[Tracked]:
    """A run in the project's experiment for what happens in the block; no store, nor MLflow itself,
    is touched without a tracking URI. `score_name` is of what progress tells: the task's, unless
    given."""
    if not app.tracking_uri:
        yield Tracked(app, None, None, "")
        return
    score_name = score_name or task_of(task).score_name
    store = Store(app.tracking_uri, app.remark)
    tags = {"freehold.model": model, "freehold.method": method, "freehold.task": task}
    tags |= {} if parent is None else {"freehold.parent": parent}
    tags |= {f"freehold.data.{name}": origin(app, file)["sha256"] for name, file in data.items()}
    tracked = Tracked(app, store, store.begin(app.project.name, model, tags), score_name)
    tracked.say({"method": method, "task": task, **recipe})
    tracked.say({f"{name}_rows": len(file) for name, file in data.items()})
    failed: BaseException | None = None
    try:
        yield tracked
    except BaseException as error:
        failed = error
        raise
    finally:
        tracked.end(failed)


def log_report(app: App, version: Version, page: Path, figures: Mapping[str, Any]) -> None:
    """Put an evaluation beside the run that the version came from, where there is one."""
    if not app.tracking_uri:
        return
    store = Store(app.tracking_uri, app.remark)
    run = store.find(app.project.name, {"freehold.version": version.name})
    stem = page.stem.removeprefix(f"{version.name}-")
    numbers = {f"{stem}_{name}": value for name, value in figures.items() if _is_figure(value)}
    store.log(run, metrics=numbers)
    store.keep_file(run, page, "evaluation")


def _figures(version: Version) -> dict[str, float]:
    """All of the version that are numbers, with the ends of their intervals, and what it cost."""
    metrics = version.metrics
    found = {name: float(value) for name, value in metrics.items() if _is_figure(value)}
    for name, (low, high) in metrics.get("intervals", {}).items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    for when in ("before", "after"):
        look = metrics.get(when) or {}
        found |= {f"held_out_loss_{when}": look["loss"]} if look else {}
    return found | {
        "train_seconds": version.train_seconds,
        "train_cost": float(version.train_cost),
        "label_cost": float(version.label_cost),
    }


def _told(name: str, score: float) -> dict[str, float]:
    """A score under its own name: progress tells a perplexity by its inverse, as higher is
    better."""
    if name == "perplexity":
        return {"held_out_perplexity": 1 / max(score, 1e-12)}
    return {f"{'held_out' if name == 'retrieval_accuracy' else 'dev'}_{name}": score}


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
