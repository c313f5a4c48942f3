"""From a version to a smaller one that answers as it does: distil, measure, register."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from freehold.app import App
from freehold.app.learn import alone
from freehold.app.track import tracking
from freehold.app.versions import (
    encoder_files,
    enter,
    learnt,
    parent_of,
    register,
    registering,
)
from freehold.registry import Version, is_reference

if TYPE_CHECKING:
    from freehold.tasks.types import Dataset
    from freehold.train.distil.distil import Distilled
    from freehold.train.distil.distil import Student as Kind
    from freehold.train.distil.objective import Weights
    from freehold.train.progress import Progress
    from freehold.train.recipe import Recipe

__all__ = ["Made", "distill", "distill_encoder", "is_encoder", "texts_for"]


@dataclass(frozen=True, slots=True)
class Made:
    """What `distill` made: the registered version (None if stopped before an epoch ended)."""

    version: Version | None
    distilled: Distilled
    run: Path


def distill(
    app: App,
    *,
    teacher: Version,
    train_data: Dataset,
    dev_data: Dataset,
    recipe: Recipe,
    model: str,
    layers: int | Sequence[int],
    weights: Weights,
    student: Kind = "layers",
    corpora: Sequence[Dataset] = (),
    augment: int = 0,
    resume: bool = False,
    on_step: Callable[[str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Train a student of the teacher's layers (or a static one), and register it with the teacher
    as its parent.

    Its metrics say what share of the teacher's dev score it keeps. Raises as
    `freehold.train.distil.distil` does.
    """
    from freehold.train.distil.distil import distil

    recipe = replace(recipe, base=teacher.name)
    run = app.project.state / "runs" / f"{model}.distil"
    files = {f"corpus {n}": corpus for n, corpus in enumerate(corpora, 1)}
    with (
        alone(run),
        tracking(
            app,
            model=model,
            method="distil",
            task=teacher.task,
            recipe={**recipe.document(), "student": student, "augment_texts": augment}
            | asdict(weights),
            data={"train": train_data, "dev": dev_data, **files},
            parent=teacher.name,
        ) as tracked,
    ):
        found = distil(
            app.registry.checkpoint(teacher),
            train_data,
            dev_data,
            recipe,
            run,
            layers=layers,
            student=student,
            corpus=[example for corpus in corpora for example in texts_for(teacher.task, corpus)],
            augment=augment,
            weights=weights,
            name=teacher.name,
            on_step=on_step,
            on_progress=tracked.watch(on_progress),
            resume=resume,
            hold=True,
        )
        fit = found.fit
        if fit.epochs == 0:
            return Made(None, found, run)
        with registering(app, run, interrupted=fit.interrupted):
            version = register(
                app,
                model=model,
                method="distil",
                parent=teacher.name,
                result=fit,
                train_data=train_data,
                dev_data=dev_data,
                recipe=recipe,
                metrics={
                    f"teacher_{fit.score_name}": found.teacher_score,
                    "retained": found.retained,
                },
                lineage={
                    "distil": {
                        "student": student,
                        "layers": list(found.layers),
                        "augment": augment,
                        "unlabelled": found.unlabelled,
                        **asdict(weights),
                    }
                },
                other_files=files,
                seconds=found.seconds,
            )
            tracked.registered(version)
    return Made(version, found, run)


def distill_encoder(
    app: App,
    *,
    teacher: str,
    corpus: Dataset,
    recipe: Recipe,
    model: str,
    layers: int | Sequence[int],
    weights: Weights,
    student: Kind = "layers",
    resume: bool = False,
    on_step: Callable[[str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Made:
    """Train a student of an encoder without a task (minilm, a folder, a hub id) to give texts its
    vectors, and register it as a model of sentence embeddings, which is also a base.

    Raises as `freehold.train.distil.encoder.distil_encoder` does.
    """
    from freehold.train.distil.encoder import distil_encoder

    recipe = replace(recipe, base=teacher)
    run = app.project.state / "runs" / f"{model}.distil"
    with (
        alone(run),
        tracking(
            app,
            model=model,
            method="distil",
            task="sentence-embedding",
            recipe={**recipe.document(), "student": student} | asdict(weights),
            data={"corpus": corpus},
            parent=parent_of(teacher),
        ) as tracked,
    ):
        found = distil_encoder(
            encoder_files(app, teacher),
            corpus,
            recipe,
            run,
            layers=layers,
            student=student,
            weights=weights,
            on_step=on_step,
            on_progress=tracked.watch(on_progress),
            resume=resume,
            hold=True,
        )
        fit = found.fit
        if fit.epochs == 0:
            return Made(None, found, run)
        with registering(app, run, interrupted=fit.interrupted):
            version = enter(
                app,
                model=model,
                task=fit.task,
                folder=fit.path,
                lineage={
                    **learnt(app, "distil", teacher, recipe.document(), {"corpus": corpus}),
                    "distil": {"student": student, "layers": list(found.layers), **asdict(weights)},
                    "ran": {"precision": fit.precision, "threads": fit.threads},
                },
                metrics={
                    fit.score_name: fit.score,
                    "n": found.looked_at,
                    f"teacher_{fit.score_name}": found.teacher_score,
                    "retained": found.retained,
                    "examples_per_second": fit.examples_per_second,
                    "epochs": fit.epochs,
                    "interrupted": fit.interrupted,
                },
                seconds=found.seconds,
                examples=len(corpus),
            )
            tracked.registered(version)
    return Made(version, found, run)


def _untagged(row: int, text: str) -> Any:
    from freehold.tasks.lines import breaks_between
    from freehold.tasks.types import TaggedExample
    from freehold.tasks.words import split_words

    spans = split_words(text)
    words = tuple(text[start:end] for start, end in spans)
    return TaggedExample(row, words, breaks=breaks_between(text, spans))


def is_encoder(app: App, teacher: str) -> bool:
    """Whether this names an encoder without a task: no model of the project, or a version that is
    only pretrained."""
    from freehold.tasks.registry import kinds

    if is_reference(teacher):
        return app.registry.get(teacher).task not in kinds()
    if any(version.model == teacher for version in app.registry.all()):
        return False
    return teacher == "minilm" or "/" in teacher or Path(teacher).is_dir()


def texts_for(task: str, corpus: Dataset) -> list[Any]:
    """The texts of a corpus as examples of the task, without labels: those for a tagger are split
    into words as what customers send is, those for sentence embeddings taken two by two, as a batch
    has them. Raises TrainError for a task that answers two texts together."""
    from freehold.errors import TrainError
    from freehold.tasks.types import Example, LabelsExample, PairExample, ScoredExample

    texts = [(example.row, example.text) for example in corpus.examples]
    match task:
        case "text-classification":
            return [Example(row, text) for row, text in texts]
        case "multi-label-classification":
            return [LabelsExample(row, text) for row, text in texts]
        case "regression":
            return [ScoredExample(row, text) for row, text in texts]
        case "token-classification":
            return [_untagged(row, text) for row, text in texts]
        case "sentence-embedding":
            both = zip(texts[::2], texts[1::2], strict=False)
            return [PairExample(row, text, other) for (row, text), (_, other) in both]
        case _:
            raise TrainError(
                f"{corpus.path} has single texts, but the teacher is for {task}.",
                hint="Leave out --corpus.",
            )
