"""One trial: a recipe trained in a folder of its own, told of after each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.types import Dataset, has_lines
from freehold.train.encoders import EncoderFiles
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe

__all__ = ["Ended", "Material", "Spec", "run_trial", "settled"]

# What a run says of itself that a version made of it records.
FACTS = (
    "task",
    "labels",
    "score",
    "score_name",
    "examples",
    "examples_per_second",
    "epochs",
    "best_epoch",
    "precision",
    "threads",
    "base_sha256",
)


@dataclass(frozen=True, slots=True)
class Material:
    """What all trials of a search learn from."""

    train: Dataset
    dev: Dataset
    files: EncoderFiles


@dataclass(frozen=True, slots=True)
class Spec:
    """A trial to be run."""

    number: int
    recipe: Recipe
    folder: Path  # where its checkpoint goes


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended; `facts` are those of its best epoch, empty if none ended."""

    facts: dict[str, Any]
    seconds: float  # wall time
    interrupted: bool  # before its last epoch
    why: str | None = None  # it failed


def run_trial(
    material: Material,
    spec: Spec,
    *,
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Ended:
    """Train; a recipe that cannot be trained (its loss is no number, memory runs out) is a failed
    trial. Raises any other FreeholdError: what a next recipe would meet as well."""
    from freehold.train import state
    from freehold.train.finetune import fit

    clock = SystemClock()
    started = clock.monotonic()
    try:
        result = fit(
            material.train,
            material.dev,
            spec.recipe,
            spec.folder,
            on_progress=on_progress,
            should_stop=should_stop,
            files=material.files,
        )
    except TrainError as error:
        return Ended({}, clock.monotonic() - started, interrupted=False, why=error.message)
    finally:
        # A trial that was stopped is not gone on with.
        state.path_of(spec.folder).unlink(missing_ok=True)
    facts = {name: getattr(result, name) for name in FACTS} if result.best_epoch else {}
    return Ended(facts, clock.monotonic() - started, result.interrupted)


def settled(train: Dataset, recipe: Recipe, files: EncoderFiles) -> Recipe:
    """The recipe with nothing left open, as a training on this data would settle it."""
    from freehold.train.adapter import adapter_of
    from freehold.train.encoders import load_tokenizer, longest_input
    from freehold.train.static import suited

    max_length = min(recipe.max_length, longest_input(files))
    rows = adapter_of(train.task).encode(
        load_tokenizer(files.folder), train.examples, max_length, lines=has_lines(train.examples)
    )
    return suited(recipe, files).resolved(train.task, int(rows.lengths().sum()))
