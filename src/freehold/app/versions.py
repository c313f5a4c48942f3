"""From what a method learnt to a registered version: lineage, figures and measured cost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.app import App
from freehold.registry import Version, is_reference

if TYPE_CHECKING:
    from freehold.evaluate.summary import Summary
    from freehold.tasks.base import Logits
    from freehold.tasks.types import Dataset
    from freehold.train.encoders import EncoderFiles
    from freehold.train.finetune import FitResult
    from freehold.train.recipe import Recipe

__all__ = [
    "encoder_files",
    "enter",
    "learnt",
    "machine_cost",
    "origin",
    "parent_of",
    "register",
    "registering",
    "say_length",
    "settings_of",
]

_HOUR = Decimal(3600)


def encoder_files(app: App, base: str) -> EncoderFiles:
    """The checked files of an encoder: minilm, a folder, a hub id, or a version of this project
    (bank@1), whose encoder it is then. Raises NotFoundError, and TrainError as `find` does."""
    from freehold.train.encoders import find

    if not is_reference(base):
        return find(base)
    folder = app.registry.checkpoint(app.registry.get(base))
    return replace(find(str(folder)), name=base)


@contextmanager
def registering(app: App, run: Path, *, interrupted: bool) -> Iterator[None]:
    """Around the registration of what the run in this folder came to. Only afterwards is the run
    taken away: where the registration fails, hours of training are still there."""
    try:
        yield
    except Exception:
        app.remark("What was learnt is kept; with --resume it is registered without training anew.")
        raise
    if not interrupted:
        from freehold.train.state import path_of

        shutil.rmtree(run, ignore_errors=True)
        path_of(run).unlink(missing_ok=True)


def say_length(app: App, files: EncoderFiles, max_length: int) -> None:
    """A remark where the encoder has no positions for as many tokens as were asked for."""
    from freehold.train.encoders import longest_input

    if (longest := longest_input(files)) < max_length:
        app.remark(
            f"{files.name} has positions for {longest:,} tokens, so max_length is that and not "
            f"{max_length:,}."
        )


def parent_of(base: str) -> str | None:
    """The version that a run starts from, where its base is one."""
    return base if is_reference(base) else None


def machine_cost(app: App, seconds: float) -> Decimal:
    """What so many seconds of this machine cost, in the project's currency."""
    return app.project.costs.machine_per_hour * Decimal(str(round(seconds, 3))) / _HOUR


def register(
    app: App,
    *,
    model: str,
    method: str,
    parent: str | None,
    result: FitResult,
    train_data: Dataset,
    dev_data: Dataset,
    recipe: Recipe,
    metrics: Mapping[str, Any] | None = None,
    lineage: Mapping[str, Any] | None = None,
    other_files: Mapping[str, Dataset] | None = None,
    seconds: float | None = None,
) -> Version:
    """Store the checkpoint that a method left as the model's next version, a candidate.

    `method` is how it was learnt (fine-tune, transfer, distil …), `parent` the version it was made
    from (bank@1) if any. `metrics` and `lineage` add to what every version records, `other_files`
    names further data that it saw (a corpus). Charged are `seconds` (those of the run unless given)
    of the machine, and the labels of train and dev.
    """
    from freehold.app.card import label_counts
    from freehold.evaluate.summary import summarise
    from freehold.train.predict import logits

    labelled = len(train_data) + len(dev_data)
    files = {"train": train_data, "dev": dev_data, **(other_files or {})}
    answers = result.dev_logits or logits(result.path, dev_data.examples)
    summary = summarise(dev_data, answers, result.labels)
    return enter(
        app,
        model=model,
        task=result.task,
        labels=tuple(result.labels),
        folder=result.path,
        lineage={
            **learnt(app, method, recipe.base, recipe.document(), files),
            "parent": parent,
            "ran": {"precision": result.precision, "threads": result.threads},
            **(lineage or {}),
        },
        metrics={
            result.score_name: result.score,
            "n": len(dev_data),
            "intervals": {result.score_name: summary.chosen},
            "settings": settings_of(result, dev_data, answers),
            "examples_per_second": result.examples_per_second,
            "epochs": result.epochs,
            "interrupted": result.interrupted,
            **(metrics or {}),
        },
        seconds=result.seconds if seconds is None else seconds,
        examples=labelled,
        label_cost=app.project.costs.label_each * labelled,
        counts=label_counts(train_data),
        summary=summary,
    )


def enter(
    app: App,
    *,
    model: str,
    task: str,
    folder: Path,
    lineage: Mapping[str, Any],
    metrics: Mapping[str, Any],
    seconds: float,
    examples: int,
    labels: tuple[str, ...] = (),
    label_cost: Decimal = Decimal(0),
    counts: Mapping[str, int] | None = None,
    summary: Summary | None = None,
) -> Version:
    """The one door into the registry: store a checkpoint as the model's next version, charged with
    `seconds` of the machine, and write its card (with `counts` and `summary` as `write_card` has
    them)."""
    from freehold.app.card import write_card

    version = app.registry.add(
        model=model,
        task=task,
        labels=labels,
        folder=folder,
        lineage=lineage,
        metrics=metrics,
        train_seconds=seconds,
        examples=examples,
        train_cost=machine_cost(app, seconds),
        label_cost=label_cost,
        currency=app.project.currency,
    )
    return write_card(app, version, counts=counts, summary=summary)


def learnt(
    app: App, method: str, base: str, recipe: Mapping[str, Any], files: Mapping[str, Dataset]
) -> dict[str, Any]:
    """What every lineage says: how the version was learnt, from what, with which knobs."""
    return {
        "method": method,
        "base": base,
        "recipe": recipe,
        "seed": recipe["seed"],
        "parent": parent_of(base),
        "data": {name: origin(app, data) for name, data in files.items()},
    }


def settings_of(result: FitResult, dev_data: Dataset, answers: Sequence[Logits]) -> dict[str, Any]:
    """What is tuned on dev once the weights stand: a temperature over all choices (texts, or words
    of all sentences), or what the task itself tunes (thresholds …). `answers` are logits of dev."""
    import numpy as np

    from freehold.evaluate.calibrate import fit_temperature
    from freehold.tasks.registry import task_of

    task = task_of(result.task)
    if not task.chooses:
        return task.tune(dev_data.examples, answers, result.labels)
    place = {label: number for number, label in enumerate(result.labels)}
    gold = [label for example in dev_data.examples for label in task.decisions(example) or ()]
    rows = np.concatenate([np.atleast_2d(row) for row in answers])
    known = np.array([label in place for label in gold])
    if not known.any():
        return {"temperature": 1.0}
    targets = np.array([place.get(label, 0) for label in gold])
    return {"temperature": fit_temperature(rows[known], targets[known])}


def origin(app: App, data: Dataset) -> dict[str, Any]:
    """What identifies a data file; the path is relative to the project where it lies inside it."""
    path: Path = data.path.resolve()
    inside = path.is_relative_to(app.project.root)
    shown = path.relative_to(app.project.root) if inside else path
    return {
        "path": shown.as_posix(),
        "sha256": data.sha256,
        "rows": len(data),
        # In the order of their roles: the first and the last are what --text and --label name.
        "columns": list(data.columns.values()),
    }
