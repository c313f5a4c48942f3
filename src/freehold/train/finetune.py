"""Fine-tuning: labelled examples and a recipe in, a checkpoint with its dev score out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.base import Logits, Score
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.encoders import EncoderFiles, find
from freehold.train.loop import Loop
from freehold.train.objective import Objective
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare
from freehold.train.stopping import Stop, stoppable
from freehold.train.team import LostError, Share, Team

__all__ = ["FitResult", "fit", "require_usable"]


@dataclass(frozen=True, slots=True)
class FitResult:
    path: Path  # the checkpoint folder
    task: str
    labels: list[str]
    score: float  # on dev, of the weights in `path`; 0 if no epoch ended
    score_name: str  # "accuracy" or "entity_f1"
    seconds: float  # from start to end; of a resumed run also the steps taken before
    examples: int  # training examples seen, each as often as it was
    examples_per_second: float  # over the training steps; dev evaluation and loading left out
    epochs: int  # finished
    interrupted: bool  # stopped before its end; `fit(..., resume=True)` goes on
    best_epoch: int  # that the weights are from
    precision: str  # fp32 or bf16, as it ran
    threads: int
    base_sha256: str
    # float32 logits of dev by the weights in `path`, as `predict.logits` gives; None if interrupted
    dev_logits: list[Logits] | None = None


def fit(
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] | None = None,
    objective: Objective | None = None,
    files: EncoderFiles | None = None,
    labels: Sequence[str] = (),
    unlabelled: Sequence[Any] = (),
    prepared: Callable[[Run, Callable[[], bool]], None] | None = None,
    team: Team | None = None,
    hold: bool = False,
) -> FitResult:
    """Fine-tune the recipe's encoder on `train`; the epoch that does best on `dev` ends in `out`.

    Ctrl-C (in the main thread, or raised by `on_progress`) or `should_stop` ends the run after the
    step under way: the best epoch so far is in `out`, and the state for `resume=True` in a hidden
    file beside it. On a CPU, the same data, recipe, seed and threads give the same weights, also
    over a stop and a resume. `objective` is what each step learns from, by default the task's own
    loss; `files` take the place of the encoder that the recipe's `base` names; `labels` and
    `unlabelled` are as in `prepare`. A method whose objective needs the run itself sets it in
    `prepared(run, stopping)`, which is called before the first step, and before a stopped run is
    restored. With a `team`, several processes that call this alike train together; the first one
    looks at dev and writes, and its result is the run's. With `hold` the state of a finished run
    stays too: `resume=True` gives its result again, until somebody removes it.

    Raises TrainError (data or encoder that cannot be used, a loss that is no number, nothing to
    resume, a process of the team that is gone), IntegrityError, MissingDependencyError,
    StoreError (disk).
    """
    clock = SystemClock()
    started, earlier = clock.monotonic(), 0.0
    require_usable(train, dev)
    files = files or find(recipe.base)
    machine = hardware.choose(recipe.precision)
    with hardware.settled(recipe.threads, recipe.seed) as threads, stoppable(should_stop) as stop:
        run = prepare(
            train,
            dev,
            recipe,
            machine,
            files,
            out,
            objective,
            labels=labels,
            unlabelled=unlabelled,
        )
        if prepared is not None:
            prepared(run, stop)
        run.keeps = team is None or team.rank == 0
        if resume:
            run.restore()
            earlier = run.position.seconds
        else:
            run.begin()
        share = None if team is None else Share(run, team, stop)
        if share is not None:
            run.job = share.job
        try:
            finished = _train(run, stop, on_progress, share)
            logits = run.best_answers() if finished and run.keeps else None
        except LostError:  # the last step was a whole one
            run.save()
            raise
        except BaseException:  # a loss that is no number, a second Ctrl-C: what was learnt stays
            run.keep_best(run.best.score)
            raise
        score = run.best.score if logits is None else run.score(logits).value
        if finished and not hold:
            run.keep_best(score)
            run.forget()
        else:
            run.save(score)
    here = run.position
    return FitResult(
        path=out,
        task=train.task,
        labels=run.labels,
        score=score,
        score_name=run.meta.score_name,
        seconds=earlier + clock.monotonic() - started,
        examples=here.examples,
        examples_per_second=here.examples / max(here.seconds, 1e-9),
        epochs=here.epoch,
        interrupted=not finished,
        best_epoch=run.best.epoch,
        precision=machine.precision,
        threads=threads,
        base_sha256=files.sha256,
        dev_logits=logits,
    )


def _train(
    run: Run, stop: Stop, on_progress: Callable[[Progress], None] | None, share: Share | None
) -> bool:
    """Whether the loop came to its end."""

    def evaluate() -> Score | None:
        run.before_look()
        with run.job.hardware.autocast():
            logits = run.answers(go_on=lambda: not stop())
        return None if logits is None else run.score(logits)

    def tell(progress: Progress) -> None:
        try:
            if on_progress is not None:
                on_progress(progress)
        except KeyboardInterrupt:
            stop.asked = True

    loop = Loop(
        run.job,
        run.optimizer,
        run.position,
        run.best,
        evaluate=evaluate if share is None else lambda: share.look(evaluate),
        save=run.save,
        stopping=stop if share is None else share.stopping,
        on_progress=tell,
    )
    return loop.run()


def require_usable(train: Dataset, dev: Dataset) -> None:
    """Both sets labelled throughout, of one task, and not empty."""
    for data in (train, dev):
        if not len(data):
            raise TrainError(f"{data.path} has no examples.")
        for example in data.examples:
            if example.target is None:
                raise TrainError(
                    f"{data.path}, row {example.row}: the example has no label.",
                    hint="Label it or take it out.",
                )
    if train.task != dev.task:
        raise TrainError(
            f"{train.path} is for {train.task}, but {dev.path} is for {dev.task}.",
            hint="Give a dev file of the same kind.",
        )
