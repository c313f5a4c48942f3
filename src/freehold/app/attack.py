"""From a version to the report of an attack on it: `freehold attack`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from freehold.app import App
from freehold.registry import Version

if TYPE_CHECKING:
    from freehold.data.perturb.moves import Kind
    from freehold.evaluate.attack.report import AttackReport
    from freehold.evaluate.attack.search import Limits
    from freehold.tasks.types import Dataset

__all__ = ["attack"]


def attack(
    app: App,
    version: Version,
    data: Dataset,
    *,
    limits: Limits,
    kinds: Sequence[Kind],
    lexicon: Path | None = None,
    most: int | None = None,
    seed: int = 0,
    on_progress: Callable[[str, int, int], None] = lambda name, of, done: None,
) -> AttackReport:
    """Attack a version's weights, as they were trained, on labelled texts.

    Raises DataError for a version of another task than text-classification, and for a lexicon that
    cannot be used.
    """
    from freehold.data.perturb.lexicon import shipped, user
    from freehold.evaluate.attack.models import likeness, predictor, require_classifier
    from freehold.evaluate.attack.report import attack as run
    from freehold.train.hardware import settled

    require_classifier(version.task)
    words = user(lexicon) if lexicon else shipped()
    predict, labels = predictor(app.registry.checkpoint(version))
    with settled(app.project.train.threads or None, seed):
        return run(
            data,
            predict,
            labels,
            likeness(),
            limits=limits,
            kinds=kinds,
            lexicon=words,
            most=most,
            seed=seed,
            on_progress=on_progress,
        )
