"""Progress as people see it: training with loss, score, speed, time left; steps of other verbs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from freehold.train.progress import Progress as TrainProgress

__all__ = ["counting_bar", "pretraining_bar", "steps", "training_bar", "training_text"]


@contextmanager
def training_bar(console: Console) -> Iterator[Callable[[TrainProgress], None]]:
    """A callback for `fit` that draws one bar and prints a line an epoch."""
    columns = (
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
    )
    seen: list[int] = [0]
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task("train", total=None, epoch="…", text="reading")

        def draw(progress: TrainProgress) -> None:
            epoch = f"{progress.epoch}/{progress.epochs}"
            bar.update(
                line,
                completed=progress.step,
                total=progress.steps,
                epoch=epoch,
                text=training_text(progress),
            )
            if progress.score is not None and progress.epoch > seen[0]:
                seen[0] = progress.epoch
                console.print(
                    f"epoch {epoch}: loss {progress.loss:.3f}, dev {progress.score:.4f}",
                    style="dim",
                )

        yield draw


@contextmanager
def pretraining_bar(console: Console, objective: str) -> Iterator[Callable[[TrainProgress], None]]:
    """A callback for `pretrain` that draws one bar and prints a line a look at the held-out texts.

    A language model's score is told as perplexity.
    """
    columns = (BarColumn(bar_width=28), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    seen: list[int] = [0]

    def told(score: float) -> str:
        if objective in ("mlm", "clm"):
            return f"perplexity {1 / max(score, 1e-12):,.1f}"
        return f"found first {score:.3f}"

    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task("pretrain", total=None, text="reading")

        def draw(progress: TrainProgress) -> None:
            best = "" if progress.best is None else f"  best held-out {told(progress.best)}"
            left = _duration(progress.seconds_left)
            text = f"loss {progress.loss:.3f}{best}  {left} left"
            bar.update(line, completed=progress.step, total=progress.steps, text=text)
            if progress.score is not None and progress.epoch > seen[0]:
                seen[0] = progress.epoch
                console.print(
                    f"step {progress.step:,}/{progress.steps:,}: loss {progress.loss:.3f}, "
                    f"held-out {told(progress.score)}",
                    style="dim",
                )

        yield draw


@contextmanager
def steps(console: Console) -> Iterator[Callable[[str], None]]:
    """A callback that names the step under way beside a spinner and the time it takes."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        line = bar.add_task("starting", total=None)

        def step(text: str) -> None:
            bar.update(line, description=text)
            if not console.is_terminal:
                console.print(text, style="dim", markup=False)

        yield step


@contextmanager
def counting_bar(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """A callback (name, of, done) that draws a bar of the part under way, by its name."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    begun: list[str] = []
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        line = bar.add_task("starting", total=None)

        def draw(name: str, of: int, done: int) -> None:
            bar.update(line, description=name, total=of, completed=done)
            if name not in begun:
                begun.append(name)
                if not console.is_terminal:
                    console.print(name, style="dim", markup=False)

        yield draw


def training_text(progress: TrainProgress) -> str:
    """Loss, best score so far, speed and time left in one line."""
    score = "" if progress.best is None else f"  best dev {progress.best:.4f}"
    return (
        f"loss {progress.loss:.3f}{score}  {progress.examples_per_second:,.0f} examples/s  "
        f"{_duration(progress.seconds_left)} left"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02d}"
