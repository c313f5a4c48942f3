"""From a budget to the best recipe's version: search, keep the study, register what won."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.app import App
from freehold.app.learn import alone, require_common_labels
from freehold.app.track import Tracked, tracking
from freehold.app.versions import encoder_files, machine_cost, origin, parent_of, register
from freehold.errors import ConflictError, NotFoundError, TrainError
from freehold.registry import Version

if TYPE_CHECKING:
    from freehold.tasks.types import Dataset
    from freehold.train.progress import Progress
    from freehold.train.recipe import Recipe
    from freehold.train.search.budget import Budget
    from freehold.train.search.conduct import Told
    from freehold.train.search.space import Space
    from freehold.train.search.studies import Studies, Study, Trial
    from freehold.train.search.trial import Material

__all__ = ["Plan", "Searched", "search"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched and how; None is "as the study has it" when a search goes on, else the
    default."""

    budget: Budget
    knobs: Sequence[str] | None = None
    space_file: Path | None = None
    pruner: str | None = None
    study: str | None = None
    resume: bool = False
    runner: str = "local"  # or "ray"
    workers: int = 2  # trials at a time, on Ray


@dataclass(frozen=True, slots=True)
class Searched:
    """How a search ended; `version` is None where it was stopped."""

    study: Study
    space: Space
    trials: list[Trial]
    best: Trial | None
    version: Version | None
    interrupted: bool


def search(
    app: App,
    *,
    train_data: Dataset,
    dev_data: Dataset,
    recipe: Recipe,
    model: str | None,
    plan: Plan,
    on_change: Callable[[Told], None] = lambda told: None,
    on_progress: Callable[[int, Progress], None] = lambda number, progress: None,
) -> Searched:
    """Try recipes within the budget and register the best trial's checkpoint as a version that is
    charged with the whole search. `model` is the study's where that is gone on with, else the
    project's, where it is None.

    The first trial is the recipe as it stands. Ctrl-C ends the search after the step under way;
    ended trials are kept, and `plan.resume` goes on. Raises TrainError (nothing that could be
    trained, an unusable space, another search under that name), NotFoundError, ConflictError.
    """
    from freehold.train.search.studies import Studies, finished
    from freehold.train.search.trial import Material, settled

    require_common_labels(train_data, dev_data)
    studies = Studies(app.database, app.clock)
    name = _name(studies, model or app.project.model, plan)
    with alone(app.project.state / "searches" / name):
        known = studies.get(name) if plan.resume else None
        if known is not None and model not in (None, known.model):
            raise ConflictError(
                f"The study {name} is of {known.model}, not of {model}.", hint="Leave out --name."
            )
        material = Material(train_data, dev_data, encoder_files(app, recipe.base))
        whole = settled(train_data, recipe, material.files)
        asked = _asked(plan, whole, known, train_data.task)
        settings = _settings(app, material, whole, asked)
        if known is None:
            known = studies.create(name, model or app.project.model, settings)
        _require_same(known.settings, settings)
        with tracking(
            app,
            model=known.model,
            method="search",
            task=train_data.task,
            recipe={"study": name, "pruner": asked.pruner, "searched": ", ".join(asked.space)},
            data={"train": train_data, "dev": dev_data},
            parent=parent_of(recipe.base),
        ) as tracked:
            watch = _Watch(tracked, on_change, on_progress)
            interrupted = _run(app, studies, known, whole, asked, material, plan, watch)
            trials = studies.trials(name)
            best = next(iter(finished(trials)), None)
            if best is None and not interrupted:
                raise TrainError(
                    "The budget ended before the first epoch of the first trial did.",
                    hint="Give more of it and --resume.",
                )
            version = None
            if best is not None and not interrupted:
                version = _register(app, studies, studies.get(name), trials, best, whole, material)
                tracked.registered(version)
    return Searched(studies.get(name), asked.space, trials, best, version, interrupted)


@dataclass(frozen=True, slots=True)
class _Asked:
    space: Space
    pruner: str


@dataclass(frozen=True, slots=True)
class _Watch:
    """Who is told of the trials: the store of runs, and whoever searches."""

    tracked: Tracked
    change: Callable[[Told], None]
    progress: Callable[[int, Progress], None]

    def on_change(self, told: Told) -> None:
        self.tracked.trial_changed(told)
        self.change(told)

    def on_progress(self, number: int, progress: Progress) -> None:
        self.tracked.trial_progress(number, progress)
        self.progress(number, progress)


def _name(studies: Studies, model: str, plan: Plan) -> str:
    """The study to go on with, or the name of a new one: bank-1, bank-2, …"""
    earlier = studies.of(model)
    if plan.study is not None:
        return plan.study
    if not plan.resume:
        taken = {study.name for study in earlier}
        return next(n for i in range(1, len(taken) + 2) if (n := f"{model}-{i}") not in taken)
    if not earlier:
        raise TrainError(
            f"There is no search of {model} to go on with.", hint="Leave out --resume."
        )
    return earlier[-1].name


def _asked(plan: Plan, recipe: Recipe, known: Study | None, task: str) -> _Asked:
    """Space and pruner: as given, else as the study has them, else the defaults."""
    from freehold.tasks.registry import task_of
    from freehold.train.search.space import default_space, from_document, read_space, with_knobs

    settings = {} if known is None else known.settings
    if plan.space_file is not None:
        space = read_space(plan.space_file, recipe)
        if plan.knobs:
            raise TrainError("--space and --knobs both say what is searched.", hint="Give one.")
    elif plan.knobs:
        space = with_knobs(recipe, plan.knobs)
    elif settings:
        space = from_document(settings["space"])
    else:
        chooses, vector = task_of(task).chooses, task_of(task).head == "vector"
        space = default_space(recipe, chooses=chooses, layer=not vector)
    return _Asked(space, plan.pruner or settings.get("pruner", "median"))


def _settings(app: App, material: Material, recipe: Recipe, asked: _Asked) -> dict[str, Any]:
    """What two parts of one search have in common."""
    from freehold.train.search.space import document

    return {
        "training data": origin(app, material.train)["sha256"],
        "dev data": origin(app, material.dev)["sha256"],
        "choice of columns": [dict(material.train.columns), dict(material.dev.columns)],
        "encoder": material.files.sha256,
        "recipe": {k: v for k, v in recipe.document().items() if k != "threads"},
        "space": document(asked.space),
        "pruner": asked.pruner,
    }


def _require_same(kept: dict[str, Any], asked: dict[str, Any]) -> None:
    both = [name for name in asked if name in kept]  # an older study has fewer
    differing = [name for name in both if kept[name] != _plain(asked[name])]
    if differing:
        raise ConflictError(
            f"The study had another {' and '.join(differing)}; it cannot be gone on with.",
            hint="Give it what it had, or leave out --resume to begin a new search.",
        )


def _plain(value: Any) -> Any:
    """As it is after being written and read: tuples are lists, say."""
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(value))


def _run(
    app: App,
    studies: Studies,
    study: Study,
    recipe: Recipe,
    asked: _Asked,
    material: Material,
    plan: Plan,
    watch: _Watch,
) -> bool:
    """Run trials until the budget ends; whether it was stopped before that."""
    from freehold.train.search.conduct import Conductor
    from freehold.train.search.local import run_here
    from freehold.train.search.parallel import run_on_ray
    from freehold.train.stopping import stoppable

    with stoppable(None) as stop:
        conductor = Conductor(
            studies,
            study,
            recipe=recipe,
            space=asked.space,
            pruner=asked.pruner,
            budget=plan.budget,
            price=lambda seconds: machine_cost(app, seconds),
            folder=app.project.state / "searches" / study.name,
            asked_to_stop=stop,
            on_change=watch.on_change,
        )
        try:
            if plan.runner == "ray":
                run_on_ray(
                    conductor,
                    material,
                    workers=plan.workers,
                    address=app.project.train.ray_address,
                    stop=stop,
                    on_progress=watch.on_progress,
                )
            else:
                run_here(conductor, material, stop=stop, on_progress=watch.on_progress)
        except BaseException:
            studies.abandon(study.name)
            raise
    return stop.asked and not conductor.over


def _register(
    app: App,
    studies: Studies,
    study: Study,
    trials: list[Trial],
    best: Trial,
    recipe: Recipe,
    material: Material,
) -> Version:
    """The best trial's checkpoint as a version; it is charged with every trial's time."""
    from freehold.train.finetune import FitResult

    folder = app.project.state / "searches" / study.name
    path = folder / f"trial-{best.number}"
    if not (path / "freehold.json").exists():
        if study.version is not None:  # gone on with after its end, and nothing better was found
            return app.registry.get(f"{study.model}@{study.version}")
        raise NotFoundError(
            f"The checkpoint of trial {best.number} is gone ({path}).", hint="Search anew."
        )
    seconds = sum(trial.seconds for trial in trials)
    won = replace(recipe, **best.knobs)
    version = register(
        app,
        model=study.model,
        method="search",
        parent=parent_of(recipe.base),
        result=FitResult(path=path, seconds=best.seconds, interrupted=False, **best.facts),
        train_data=material.train,
        dev_data=material.dev,
        recipe=won,
        lineage={
            "search": {
                "study": study.name,
                "trial": best.number,
                "knobs": best.knobs,
                "trials": Counter(trial.state for trial in trials),
                "seconds": round(seconds, 3),
                "cost": f"{sum((trial.cost for trial in trials), Decimal(0)):f}",
            }
        },
        seconds=seconds,
    )
    studies.finish(study.name, version.version)
    shutil.rmtree(folder, ignore_errors=True)
    return version
