"""From a data file to a version and its bundle: train, evaluate, export, predict."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.app import App
from freehold.app.track import tracking
from freehold.app.versions import encoder_files, parent_of, register, registering, say_length
from freehold.errors import ConflictError, DataError, NotFoundError, TrainError
from freehold.project import Project
from freehold.registry import Version
from freehold.store.files import replacing

if TYPE_CHECKING:
    from freehold.evaluate.figures import Figures
    from freehold.evaluate.report import Evaluation
    from freehold.export.report import ExportReport
    from freehold.tasks.types import Dataset
    from freehold.train.finetune import FitResult
    from freehold.train.progress import Progress
    from freehold.train.recipe import Recipe

__all__ = [
    "Predicted",
    "Trained",
    "alone",
    "base_of",
    "evaluate",
    "export",
    "predict",
    "recipe_of",
    "require_common_labels",
    "train",
]

# Settings of [train] whose 0 stands for "the recipe's own choice".
OPEN = ("epochs", "learning_rate", "batch_tokens", "patience", "threads")


def recipe_of(app: App, **knobs: Any) -> Recipe:
    """The recipe of [train] in freehold.toml; a knob that is not None replaces its setting. A base
    that is a folder is named there relative to the file, as the data is."""
    from freehold.train.recipe import Recipe

    settings = app.project.train
    if unknown := set(knobs) - set(settings.__slots__):
        raise TypeError(f"[train] has no {', '.join(sorted(unknown))}")
    chosen: dict[str, Any] = {}
    for name in settings.__slots__:
        if name in ("ray_address", "tracking_uri"):  # where it is trained and told of, not how
            continue
        given = knobs.get(name)
        if given is not None:
            chosen[name] = given
        elif name == "base":
            chosen[name] = base_of(app.project)
        elif name not in OPEN or getattr(settings, name):
            chosen[name] = getattr(settings, name)
    return Recipe(**chosen)


def base_of(project: Project) -> str:
    """The encoder of [train], where it is a folder found from wherever one stands."""
    named = project.train.base
    folder = project.root / named
    if named in ("", "minilm") or not folder.is_dir():
        return named
    here = Path(named)
    return named if here.is_dir() and here.samefile(folder) else str(folder)


@dataclass(frozen=True, slots=True)
class Trained:
    """What `train` made: the registered version (None if stopped before the first epoch ended)."""

    version: Version | None
    fit: FitResult
    run: Path


def train(
    app: App,
    *,
    train_data: Dataset,
    dev_data: Dataset,
    recipe: Recipe,
    model: str,
    method: str = "fine-tune",
    few_shot: bool = False,
    workers: int = 0,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Fine-tune, calibrate on dev, register a candidate with its lineage and its measured cost;
    with `few_shot` by contrast and a head fitted after it, with `workers` by so many on Ray."""
    require_common_labels(train_data, dev_data)
    fit = _fit(app, few_shot=few_shot, workers=workers)
    run = app.project.state / "runs" / model
    with (
        alone(run),
        tracking(
            app,
            model=model,
            method=method,
            task=train_data.task,
            recipe=recipe.document(),
            data={"train": train_data, "dev": dev_data},
            parent=parent_of(recipe.base),
        ) as tracked,
    ):
        files = encoder_files(app, recipe.base)
        say_length(app, files, recipe.max_length)
        result = fit(
            train_data,
            dev_data,
            recipe,
            run,
            on_progress=tracked.watch(on_progress),
            resume=resume,
            hold=True,
            files=files,
        )
        if result.epochs == 0:
            return Trained(None, result, run)
        with registering(app, run, interrupted=result.interrupted):
            version = register(
                app,
                model=model,
                method=method,
                parent=parent_of(recipe.base),
                result=result,
                train_data=train_data,
                dev_data=dev_data,
                recipe=recipe,
                lineage={"workers": workers} if workers else None,
            )
            tracked.registered(version)
    return Trained(version, result, run)


def _fit(app: App, *, few_shot: bool, workers: int) -> Callable[..., FitResult]:
    """The way to train: in this process, or on Ray. A few-shot batch is compared as a whole, and
    the few texts are learnt in seconds, so it is not shared between workers."""
    if few_shot and workers:
        raise TrainError(
            "Few-shot learning compares all texts of a batch with each other, so batches cannot be "
            "shared between workers.",
            hint="Leave out --runner, or --few-shot.",
        )
    if few_shot:
        from freehold.train.fewshot.fewshot import fit_few

        return fit_few
    if workers:
        from freehold.train.parallel import fit_on_ray

        address = app.project.train.ray_address
        return functools.partial(fit_on_ray, workers=workers, address=address)
    from freehold.train.finetune import fit

    return fit


def evaluate(app: App, version: Version, data: Dataset, *, seed: int = 0) -> Evaluation | Figures:
    """Score a version on labelled texts, with the weights as they were trained: labels with their
    confusions and calibration where it chooses one of several, else the figures of its task."""
    from freehold.evaluate.figures import evaluate_figures
    from freehold.evaluate.report import evaluate as score
    from freehold.tasks.registry import task_of

    logits = _logits(app, app.registry.checkpoint(version), data)
    labels = list(version.labels)
    # On the texts that something was fitted on, it is fitted anew, by halves: measured on what it
    # has seen it would flatter.
    seen = data.sha256 == version.lineage["data"].get("dev", {}).get("sha256")
    if not task_of(version.task).chooses:
        settings = None if seen else version.settings
        return evaluate_figures(data, logits, labels, settings=settings, seed=seed)
    temperature = None if seen else version.temperature
    return score(data, logits, labels, temperature=temperature, seed=seed)


def export(
    app: App,
    version: Version,
    *,
    dev: Dataset | None,
    engine: str = "auto",
    precision: str = "auto",
    budget: float | None = None,
    seconds: float | None = None,
    out: Path | None = None,
    on_step: Callable[[str], None] | None = None,
) -> tuple[ExportReport, Path]:
    """Make the version's bundle and register it; returns the report and the bundle's folder.
    `budget` and `seconds` as `freehold.export.bundle.export` has them, its own where None."""
    from freehold.export.bundle import BUDGET, SECONDS
    from freehold.export.bundle import export as make
    from freehold.serve.cores import usable_cores
    from freehold.serve.engine import Engine

    if out is not None and out.exists():
        raise ConflictError(f"{out} is already there.", hint="Name a folder that is not.")
    with tempfile.TemporaryDirectory(dir=app.project.state, prefix=".export-") as folder:
        report = make(
            app.registry.checkpoint(version),
            Path(folder) / "bundle",
            model=version.model,
            version=version.version,
            temperature=version.temperature,
            settings=version.settings,
            dev=dev,
            train=app.train_of(version),
            open_engine=Engine.open,
            engine=engine,
            precision=precision,
            budget=BUDGET if budget is None else budget,
            threads=app.project.serve.threads or None,
            cores=usable_cores(),
            seconds=SECONDS if seconds is None else seconds,
            on_step=on_step,
        )
        app.registry.add_bundle(
            version,
            report.bundle,
            engine=report.engine,
            precision=report.precision,
            report=report.document(),
        )
    bundle = app.registry.bundle_folder(version)
    if out is not None:
        shutil.copytree(bundle, out)
    return report, out or bundle


@dataclass(frozen=True, slots=True)
class Predicted:
    n: int
    seconds: float
    engine: str


def predict(
    app: App,
    version: Version,
    file: Path,
    out: Path,
    *,
    text: str | None = None,
    label: str | None = None,
) -> Predicted:
    """One JSON line an input, in order, written whole or not at all. The bundle answers;
    without one it is made first."""
    import msgspec

    from freehold.serve.engine import Engine
    from freehold.serve.predict import predict as answers

    data = app.read(file, task=version.task, labelled=False, text=text, label=label)
    try:
        folder = app.registry.bundle_folder(version)
    except NotFoundError:  # not exported yet
        _, folder = export(app, version, dev=app.dev_of(version))
    engine = Engine.open(folder, threads=app.project.serve.threads or None)
    start = app.clock.monotonic()
    count = 0
    with replacing(out) as beside, beside.open("wb") as lines:
        for answer in answers(engine, data.examples):
            lines.write(msgspec.json.encode(answer) + b"\n")
            count += 1
    return Predicted(count, app.clock.monotonic() - start, engine.meta.engine)


def require_common_labels(train_data: Dataset, dev_data: Dataset) -> None:
    """Raises DataError where dev could not be answered by what is learnt from train; tasks whose
    answers are numbers or parts of a text have no labels to hold against each other."""
    known = set(train_data.labels()) - {"O"}
    if known and not known & set(dev_data.labels()):
        raise DataError(
            f"{dev_data.path.name} has none of the labels of {train_data.path.name}.",
            hint="Both must be of one task: look at them with `freehold data check`.",
        )


@contextmanager
def alone(run: Path) -> Iterator[None]:
    """Hold the run's folder: two trainings of one model at once would mix their files."""
    import fcntl

    run.parent.mkdir(parents=True, exist_ok=True)
    with (run.parent / f".{run.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"{run.name} is being trained by another process.",
                hint="Wait for it, or train under another --name.",
            ) from error
        yield


def _logits(app: App, checkpoint: Path, data: Dataset) -> list[Any]:
    from freehold.train.hardware import settled
    from freehold.train.predict import logits

    with settled(app.project.train.threads or None, 0):
        return logits(checkpoint, data.examples)
