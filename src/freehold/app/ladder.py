"""The ladder: climb the rungs on one split, register and export each, time all as they serve."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from freehold.app import App
from freehold.app.learn import alone, export, require_common_labels
from freehold.app.rung_recipes import recipe_of_rung
from freehold.app.track import tracking
from freehold.app.versions import encoder_files, machine_cost, parent_of, register
from freehold.errors import FreeholdError, InputError
from freehold.registry import Version

if TYPE_CHECKING:
    from freehold.evaluate.ladder.rungs import Ladder, RungFigures
    from freehold.export.report import ExportReport
    from freehold.tasks.base import Measured
    from freehold.tasks.types import Dataset
    from freehold.train.finetune import FitResult
    from freehold.train.progress import Progress
    from freehold.train.recipe import Recipe

__all__ = ["RUNGS", "climb", "split"]


_MEASURING = 8.0  # seconds for each rung's engines; the bundles are timed once more together
SHOTS = 16  # examples of a label that the few-shot rung learns from


@dataclass(frozen=True, slots=True)
class _Climb:
    """What every rung is given; `recipe` is the rung's own once it is climbed."""

    app: App
    train: Dataset
    dev: Dataset
    recipe: Recipe
    folder: Path
    done: Mapping[str, Version]
    step: Callable[[str], None]
    on_progress: Callable[[Progress], None] | None


@dataclass(frozen=True, slots=True)
class _Learnt:
    """A rung's checkpoint and what its version is registered with."""

    result: FitResult
    seconds: float
    parent: str | None = None
    lineage: Mapping[str, Any] | None = None
    train: Dataset | None = None  # what it learnt from, where that is not all of train


def climb(
    app: App,
    *,
    train_data: Dataset,
    dev_data: Dataset,
    recipe: Recipe,
    model: str,
    rungs: Sequence[str] = (),
    seed: int = 0,
    on_step: Callable[[str], None] | None = None,
    on_progress: Callable[[str, Progress], None] | None = None,
) -> Ladder:
    """Train, register and export every rung in turn; then time all bundles, taking turns.

    `rungs` names some of RUNGS, all that suit the task by default. A rung that cannot be climbed is
    named with its reason, and the next one is tried; Ctrl-C keeps the rungs that are finished.
    Scores are those of the bundles, the same answers that customers would get.

    Raises InputError for an unknown rung, and DataError where train and dev share no label.
    """
    chosen = _chosen(rungs, train_data.task)
    require_common_labels(train_data, dev_data)
    step = on_step or (lambda _: None)
    versions: dict[str, Version] = {}
    reports: dict[str, ExportReport] = {}
    failed: dict[str, str] = {}
    folder = app.project.state / "runs" / f"{model}.ladder"
    with alone(folder), suppress(KeyboardInterrupt):
        try:
            for rung in chosen:
                tell = None if on_progress is None else _named(rung, on_progress)
                one = _Climb(app, train_data, dev_data, recipe, folder / rung, versions, step, tell)
                try:
                    version = _one(one, rung, model)
                    step(f"{rung}: exporting {version.name}")
                    reports[rung], _ = export(app, version, dev=dev_data, seconds=_MEASURING)
                    versions[rung] = version
                except FreeholdError as error:
                    failed[rung] = error.sentence()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finished = [rung for rung in chosen if rung in versions]
    if finished:
        step(f"timing {', '.join(finished)}")
    figures, measured = _measured(app, dev_data, [(r, versions[r], reports[r]) for r in finished])
    skipped = tuple(rung for rung in chosen if rung not in versions and rung not in failed)
    return _ladder(app, train_data, dev_data, figures, measured, failed, skipped, seed)


def split(app: App, data: Dataset, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Train and dev made of one file, kept in the project's state as files of their own: the same
    file and seed give the same ones."""
    from freehold.data.divide import divide, write_examples

    if data.task not in _FROZEN:
        raise InputError(
            f"A file for {data.task} is not divided here.", hint="Give a dev file with --dev."
        )
    # What is written depends on the columns that were taken, too.
    read = msgspec.json.encode([data.sha256, data.task, sorted(data.columns.items())])
    key = hashlib.sha256(read).hexdigest()[:12]
    folder = app.project.state / "splits" / f"{data.path.stem}-{key}-{seed}"
    parts = []
    for name, numbers in zip(("train", "dev"), divide(data, seed=seed), strict=True):
        path = folder / f"{name}.jsonl"
        if not path.exists():
            write_examples(path, [data.examples[number] for number in numbers])
        parts.append(_read(path, data.task))
    return parts[0], parts[1]


def _read(path: Path, task: Any) -> Dataset:
    from freehold.data.read import read_dataset

    tagged = task == "token-classification"
    source, target = ("tokens", "tags") if tagged else ("text", "label")
    return read_dataset(path, task=task, text=source, label=target)


def _chosen(rungs: Sequence[str], task: str) -> list[str]:
    for rung in rungs:
        if rung not in RUNGS:
            raise InputError(f"There is no rung {rung!r}.", hint=f"Rungs: {', '.join(RUNGS)}.")
    possible = [name for name in RUNGS if not RUNGS[name].tasks or task in RUNGS[name].tasks]
    for rung in rungs:
        if rung not in possible:
            raise InputError(
                f"The rung {rung} is not for {task}.", hint=f"Rungs: {', '.join(possible)}."
            )
    return [name for name in possible if not rungs or name in rungs]


def _one(climb: _Climb, rung: str, model: str) -> Version:
    climb.step(f"{rung}: learning from {len(climb.train):,} examples")
    shutil.rmtree(climb.folder, ignore_errors=True)
    with tracking(
        climb.app,
        model=model,
        method=rung,
        task=climb.train.task,
        recipe={"base": climb.recipe.base, "seed": climb.recipe.seed},
        data={"train": climb.train, "dev": climb.dev},
    ) as tracked:
        recipe = recipe_of_rung(rung, climb.recipe)
        learnt = RUNGS[rung].learn(
            replace(climb, recipe=recipe, on_progress=tracked.watch(climb.on_progress))
        )
        if learnt.result.interrupted:
            raise KeyboardInterrupt
        version = register(
            climb.app,
            model=model,
            method=rung,
            parent=learnt.parent,
            result=learnt.result,
            train_data=learnt.train or climb.train,
            dev_data=climb.dev,
            recipe=recipe,
            lineage=learnt.lineage,
            seconds=learnt.seconds,
        )
        tracked.registered(version)
    return version


def _tfidf(climb: _Climb) -> _Learnt:
    from freehold.train.bag import fit_bag

    files = encoder_files(climb.app, climb.recipe.base)
    result = fit_bag(climb.train, climb.dev, climb.recipe, climb.folder, files=files)
    return _Learnt(result, result.seconds)


def _static(climb: _Climb) -> _Learnt:
    """The table is made anew, and its making is charged: a first model has to pay for it."""
    from freehold.train.finetune import fit
    from freehold.train.hardware import settled
    from freehold.train.static import static_student

    source = encoder_files(climb.app, climb.recipe.base)
    start = climb.app.clock.monotonic()

    def made(done: int, of: int) -> None:
        if done == of or done % 8192 == 0:
            climb.step(f"static: {done:,} of {of:,} tokens through {source.name}")

    with settled(climb.recipe.threads, climb.recipe.seed):
        table = static_student(source, climb.folder.with_name("table"), on_progress=made)
    files = replace(table, name=f"static of {source.name}")
    result = fit(
        climb.train,
        climb.dev,
        climb.recipe,
        climb.folder,
        files=files,
        on_progress=climb.on_progress,
    )
    return _Learnt(
        result,
        climb.app.clock.monotonic() - start,
        parent_of(climb.recipe.base),
        {"static": {"dims": table.config()["hidden_size"]}},
    )


def _frozen(climb: _Climb) -> _Learnt:
    from freehold.train.frozen import fit_frozen

    files = encoder_files(climb.app, climb.recipe.base)
    result = fit_frozen(climb.train, climb.dev, climb.recipe, climb.folder, files=files)
    return _Learnt(result, result.seconds, parent_of(climb.recipe.base))


def _few_shot(climb: _Climb) -> _Learnt:
    """What a few examples of each label are worth; only those are charged."""
    from freehold.data.shots import draw_shots
    from freehold.train.fewshot.fewshot import fit_few

    drawn = draw_shots(climb.train, SHOTS, seed=climb.recipe.seed)
    files = encoder_files(climb.app, climb.recipe.base)
    result = fit_few(
        drawn, climb.dev, climb.recipe, climb.folder, files=files, on_progress=climb.on_progress
    )
    return _Learnt(result, result.seconds, parent_of(climb.recipe.base), train=drawn)


def _finetuned(climb: _Climb) -> _Learnt:
    from freehold.train.finetune import fit

    result = fit(
        climb.train,
        climb.dev,
        climb.recipe,
        climb.folder,
        on_progress=climb.on_progress,
        files=encoder_files(climb.app, climb.recipe.base),
    )
    return _Learnt(result, result.seconds, parent_of(climb.recipe.base))


def _distilled(climb: _Climb) -> _Learnt:
    """Half of the fine-tuned rung's layers, taught by it."""
    from freehold.train.distil.distil import distil
    from freehold.train.distil.student import layers_of
    from freehold.train.encoders import find

    teacher = climb.done.get("fine-tuned")
    if teacher is None:
        raise InputError(
            "The rung distilled learns from the rung fine-tuned, which is not there.",
            hint="Climb both.",
        )
    checkpoint = climb.app.registry.checkpoint(teacher)
    layers = max(1, layers_of(find(str(checkpoint))) // 2)
    found = distil(
        checkpoint,
        climb.train,
        climb.dev,
        climb.recipe,
        climb.folder,
        layers=layers,
        name=teacher.name,
        on_step=lambda text: climb.step(f"distilled: {text}"),
        on_progress=climb.on_progress,
    )
    lineage = {"base": teacher.name, "distil": {"student": "layers", "layers": list(found.layers)}}
    return _Learnt(found.fit, found.seconds, teacher.name, lineage)


@dataclass(frozen=True, slots=True)
class _Kind:
    learn: Callable[[_Climb], _Learnt]
    tasks: frozenset[str] = frozenset()  # none: all of them


# A bag answers one label a text. A table of token vectors does not tell two texts apart, nor does
# it point into one; a frozen encoder's layer is fitted to labels.
_BAG = frozenset({"text-classification"})
_TABLE = frozenset({"text-classification", "token-classification", "regression"}) | {
    "multi-label-classification"
}
_FROZEN = frozenset({"text-classification", "token-classification"})
_FEW = frozenset({"text-classification", "pair-classification"})

# From the least effort to the most.
RUNGS: dict[str, _Kind] = {
    "tfidf": _Kind(_tfidf, _BAG),
    "static": _Kind(_static, _TABLE),
    "frozen": _Kind(_frozen, _FROZEN),
    "few-shot": _Kind(_few_shot, _FEW),
    "fine-tuned": _Kind(_finetuned),
    "distilled": _Kind(_distilled),
}


def _named(rung: str, told: Callable[[str, Progress], None]) -> Callable[[Progress], None]:
    return lambda progress: told(rung, progress)


def _measured(
    app: App, dev: Dataset, climbed: Sequence[tuple[str, Version, ExportReport]]
) -> tuple[list[RungFigures], list[Measured]]:
    """All bundles open at once and timed in turns, so that a busy moment hits all alike; and what
    they answer to dev."""
    from freehold.evaluate.ladder.rungs import RungFigures
    from freehold.export.sample import Sample
    from freehold.export.speed import answers, speeds
    from freehold.serve.engine import Engine
    from freehold.tasks.registry import task_of

    threads = app.project.serve.threads or None
    engines = [
        Engine.open(app.registry.bundle_folder(version), threads=threads)
        for _, version, _ in climbed
    ]
    paces = speeds(engines, Sample(dev.examples)) if engines else []
    figures = [
        RungFigures(
            rung=rung,
            version=version.name,
            train_seconds=version.train_seconds,
            train_cost=version.train_cost,
            inputs_per_second=pace.inputs_per_second,
            p50_ms=pace.p50_ms,
            serve_cost=_cost_of_thousand(app, pace.inputs_per_second),
            size_mb=report.size_mb,
            engine=report.engine,
            precision=report.precision,
        )
        for (rung, version, report), pace in zip(climbed, paces, strict=True)
    ]
    task = task_of(dev.task)
    measured = [
        task.measure(
            dev.examples, answers(engine, Sample(dev.examples)), version.labels, version.settings
        )
        for engine, (_, version, _) in zip(engines, climbed, strict=True)
    ]
    return figures, measured


def _cost_of_thousand(app: App, inputs_per_second: float) -> Decimal:
    """1,000 inputs at full pace, in the project's currency: price of an hour x hours."""
    return machine_cost(app, 1) * 1000 / Decimal(str(inputs_per_second))


def _ladder(
    app: App,
    train: Dataset,
    dev: Dataset,
    figures: Sequence[RungFigures],
    measured: Sequence[Measured],
    failed: Mapping[str, str],
    skipped: tuple[str, ...],
    seed: int,
) -> Ladder:
    from freehold.evaluate.ladder.paired import compare
    from freehold.evaluate.ladder.rungs import Ladder, stand
    from freehold.tasks.registry import task_of

    metric = task_of(dev.task).score_name
    return Ladder(
        data=train.path.name,
        dev=dev.path.name,
        n=len(dev),
        metric=metric,
        currency=app.project.currency,
        machine_per_hour=app.project.costs.machine_per_hour,
        rungs=stand(figures, compare(measured, metric, seed=seed)) if figures else (),
        failed=failed,
        skipped=skipped,
    )
