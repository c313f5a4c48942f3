"""From unlabelled texts to a version that others start from: pretrain, look, register."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    registering,
    say_length,
)
from freehold.errors import DataError
from freehold.registry import Version

if TYPE_CHECKING:
    from freehold.tasks.types import Dataset
    from freehold.train.pretrain.corpus import Corpus
    from freehold.train.pretrain.knobs import Pretraining
    from freehold.train.pretrain.run import Pretrained
    from freehold.train.progress import Progress

__all__ = ["PretrainedVersion", "pretrain", "pretraining_of", "read_corpus"]

LANGUAGE = ("mlm", "clm")  # objectives that a perplexity tells of


@dataclass(frozen=True, slots=True)
class PretrainedVersion:
    """The registered version; None if stopped before the first look at the held-out texts."""

    version: Version | None
    result: Pretrained
    run: Path


def pretraining_of(app: App, **knobs: Any) -> Pretraining:
    """The recipe of these knobs, None for one that is not given. Of [train] count those settings
    that are of the machine and of chance, not of a task: precision, threads and seed."""
    from freehold.train.pretrain.knobs import Pretraining

    settings = app.project.train
    chosen: dict[str, Any] = {
        "precision": settings.precision,
        "threads": settings.threads or None,
        "seed": settings.seed,
    }
    return Pretraining(**chosen | {name: v for name, v in knobs.items() if v is not None})


def read_corpus(
    path: Path, *, pairs: bool, text: str | None = None, other: str | None = None
) -> tuple[Dataset, Corpus]:
    """A file of texts, one a line or in a column, or of pairs in two columns; labels are not looked
    at. Raises DataError, also where there is no text in it."""
    from freehold.data.read import read_dataset
    from freehold.train.pretrain.corpus import corpus_of

    if not pairs:
        data = read_dataset(path, labelled=False, text=text)
        return data, corpus_of(data)
    first, second = text or "text_a", other or "text_b"
    if first == second:
        raise DataError(
            f'Both texts of a pair would be the column "{first}".', hint="Name two columns."
        )
    data = read_dataset(path, labelled=False, text=first)
    if data.format in ("txt", "conll"):
        raise DataError(
            f"{path} has no columns, but pairs need two.",
            hint="Give a CSV or JSON Lines file with text_a and text_b (or --text and --text-b).",
        )
    return data, corpus_of(data, read_dataset(path, labelled=False, text=second))


def pretrain(
    app: App,
    *,
    data: Dataset,
    corpus: Corpus,
    recipe: Pretraining,
    model: str,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> PretrainedVersion:
    """Go on with a checkpoint on `corpus` (as `read_corpus` read it from `data`), and register the
    result as the model's next version with its lineage and its measured cost."""
    from freehold.train.pretrain.knobs import TASKS
    from freehold.train.pretrain.run import pretrain as learn

    run = app.project.state / "runs" / model
    with (
        alone(run),
        tracking(
            app,
            model=model,
            method="pretrain",
            task=TASKS[recipe.objective],
            recipe=recipe.resolved().document(),
            data={"corpus": data},
            parent=parent_of(recipe.base),
            score_name="perplexity" if recipe.objective in LANGUAGE else "retrieval_accuracy",
        ) as tracked,
    ):
        files = encoder_files(app, recipe.base)
        say_length(app, files, recipe.max_length)
        result = learn(
            corpus,
            recipe,
            run,
            on_progress=tracked.watch(on_progress),
            resume=resume,
            hold=True,
            files=files,
        )
        if not result.best_round:
            return PretrainedVersion(None, result, run)
        with registering(app, run, interrupted=result.interrupted):
            version = _register(app, model, data, recipe, result)
            tracked.registered(version)
    return PretrainedVersion(version, result, run)


def _register(
    app: App, model: str, data: Dataset, recipe: Pretraining, result: Pretrained
) -> Version:
    return enter(
        app,
        model=model,
        task=result.task,
        folder=result.path,
        lineage={
            **learnt(app, "pretrain", recipe.base, recipe.resolved().document(), {"corpus": data}),
            "ran": {"precision": result.precision, "threads": result.threads},
        },
        metrics=_metrics(result),
        seconds=result.seconds,
        examples=result.texts,
    )


def _metrics(result: Pretrained) -> dict[str, Any]:
    """The score of the weights that were kept, and what it was before."""
    after = {} if result.after is None else {"after": result.after.document()}
    score = {} if result.after is None else {result.score_name: result.after.value}
    return {
        **score,
        "n": result.before.n,
        "before": result.before.document(),
        **after,
        "head_loss": result.head_loss,
        "tokens": result.tokens,
        "tokens_per_second": result.tokens_per_second,
        "steps": result.steps,
        "packed": result.packed,
        "interrupted": result.interrupted,
    }
