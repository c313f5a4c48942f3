"""Trials one after another in this process."""

from __future__ import annotations

from collections.abc import Callable

from freehold.train.progress import Progress
from freehold.train.search.conduct import Conductor
from freehold.train.search.trial import Material, Spec, run_trial
from freehold.train.stopping import Stop

__all__ = ["run_here"]


def run_here(
    conductor: Conductor,
    material: Material,
    *,
    stop: Stop,
    on_progress: Callable[[int, Progress], None],
) -> None:
    """Run what the conductor asks for until it asks for nothing more."""
    while (spec := conductor.begin()) is not None:
        if not _run(conductor, material, spec, on_progress):
            # Ctrl-C reaches the trial's own handler, or the budget ended before its first epoch.
            stop.asked = True


def _run(
    conductor: Conductor,
    material: Material,
    spec: Spec,
    on_progress: Callable[[int, Progress], None],
) -> bool:
    def tell(progress: Progress) -> None:
        if progress.score is not None:
            conductor.epoch(spec.number, progress.epoch, progress.score)
        on_progress(spec.number, progress)

    ended = run_trial(
        material,
        spec,
        on_progress=tell,
        should_stop=lambda: conductor.stopping(spec.number),
    )
    return conductor.end(spec.number, ended)
