"""The training loop: epochs of steps, a look at dev after each, the best one kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.base import Score
from freehold.train.adapter import Adapter
from freehold.train.batches import Ids, epoch_plan, pad_ids, pad_targets
from freehold.train.hardware import Hardware, within_memory
from freehold.train.known import Known
from freehold.train.objective import Batch, Objective
from freehold.train.optimizer import learning_rate
from freehold.train.progress import Progress
from freehold.train.state import Best, Position

__all__ = ["Job", "Loop", "Material"]

TELL_EVERY = 0.2  # seconds between two calls of on_progress within an epoch
SAVE_EVERY = 60.0  # seconds between two saves of a run that nobody stopped


@dataclass(frozen=True, slots=True)
class Material:
    """Training data as numbers: rows of token ids, and what the logits of each should say.

    `types` are segment numbers of text pairs. Where an example is `parts` rows that have to stand
    in one batch, `ids` has them one after another, and `targets` one for all of them. The last
    `unlabelled` of the targets say nothing. `begins` (rows,) says which rows are the first of an
    example, where some have several windows.
    """

    ids: Sequence[Ids]
    targets: Sequence[NDArray[Any]]
    pad: int
    types: Sequence[Ids] | None = None
    parts: int = 1
    unlabelled: int = 0
    begins: NDArray[np.bool_] | None = None

    def examples(self, numbers: list[int]) -> int:
        """Examples among these rows: one of several windows counts where its first is."""
        return len(numbers) if self.begins is None else int(self.begins[numbers].sum())

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, as its longest row makes them."""
        rows = np.array([len(ids) for ids in self.ids], np.int64)
        return rows if self.parts == 1 else rows.reshape(-1, self.parts).max(1) * self.parts

    def batch(self, numbers: list[int], device: torch.device) -> Batch:
        """The rows of these examples, padded to the longest, on the device."""
        rows = numbers
        if self.parts > 1:
            rows = [number * self.parts + part for number in numbers for part in range(self.parts)]
        ids, mask = pad_ids(self.ids, rows, self.pad)
        types = None if self.types is None else pad_ids(self.types, rows, 0)[0].to(device)
        return Batch(
            numbers=numbers,
            ids=ids.to(device),
            mask=None if mask is None else mask.to(device),
            types=types,
            targets=pad_targets(self.targets, numbers).to(device),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """What stays the same through a run. The recipe's knobs are plain numbers here."""

    module: torch.nn.Module  # a Head, unless the objective has a loss of its own
    adapter: Adapter
    material: Material
    hardware: Hardware
    epochs: int
    learning_rate: float
    batch_tokens: int
    warmup: float
    clip_norm: float
    patience: int
    label_weights: torch.Tensor | None
    label_smoothing: float
    seed: int
    objective: Objective
    # What is known, where that is left out.
    known: Known | None = None
    # The batches of each epoch, where they are not those of one pass over the material.
    plan: Callable[[int], list[list[int]]] | None = None
    # From the logits of a share of a batch the whole batch's, and its targets, where the loss
    # compares all of its examples.
    whole: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None = None


class Loop:
    """One run over a job. `position` and `best` say how far it is at any time."""

    def __init__(
        self,
        job: Job,
        optimizer: torch.optim.Optimizer,
        position: Position,
        best: Best,
        *,
        evaluate: Callable[[], Score | None],
        save: Callable[[], None],
        stopping: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> None:
        """`evaluate` scores dev, None if it was stopped in between; `save` writes the run down."""
        self.job, self.optimizer = job, optimizer
        self.position, self.best = position, best
        self._evaluate, self._save = evaluate, save
        self._stopping, self._on_progress = stopping, on_progress
        self._clock = SystemClock()
        self._lengths = job.material.lengths()
        self._parameters = list(job.module.parameters())
        self._told = self._saved = self._clock.monotonic()
        self._first_examples, self._first_seconds = position.examples, position.seconds
        self._first_step = position.step
        # With nothing left out, so that a run that goes on counts as it did when it began.
        self.steps = self._planned = sum(len(self._whole(epoch)) for epoch in range(job.epochs))
        self._batches = 1  # of the epoch under way

    def run(self) -> bool:
        """Train to the last epoch or until dev stops improving; False if stopped before that.

        Raises TrainError where the loss is no number or no memory is left; `best` is then still
        what it was.
        """
        with within_memory(self.job.batch_tokens):
            return self._run()

    def _run(self) -> bool:
        here = self.position
        while here.epoch < self.job.epochs and here.stale < self.job.patience:
            batches = self._plan(here.epoch)
            self._batches = len(batches)
            if self.job.known is not None:  # later epochs will be about as long
                left = self.job.epochs - here.epoch
                self.steps = here.step - here.batch + left * len(batches)
            self.job.module.train()
            while here.batch < len(batches):
                if self._stopping():
                    return self._break_off()
                self._step(batches[here.batch])
                self._tell(None)
            score = self._evaluate()
            if score is None:
                return self._break_off()
            if self.job.known is not None:
                self.job.known.end_epoch()
            self._finish_epoch(score)
        return True

    def _break_off(self) -> bool:
        """In the middle of an epoch. Of a team all are here, and one writes down what all noted."""
        if self.job.known is not None:
            self.job.known.agree()
        return False

    def _plan(self, epoch: int) -> list[list[int]]:
        known = self.job.known
        return self._whole(epoch) if known is None else known.plan(epoch)

    def _whole(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch with nothing left out."""
        job = self.job
        if job.plan is not None:
            return job.plan(epoch)
        return epoch_plan(self._lengths, job.batch_tokens, seed=job.seed, epoch=epoch)

    def _step(self, batch: list[int]) -> None:
        """Forward, backward, clip, update: one batch."""
        job, here = self.job, self.position
        started = self._clock.monotonic()
        loss = job.objective.gradients(job, job.material.batch(batch, job.hardware.device)).item()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, job.clip_norm or math.inf)
        self._require_finite(loss, norm.item())
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(self._moment(), group)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        here.losses += loss
        here.examples += job.material.examples(batch)
        here.batch += 1
        here.step += 1
        here.seconds += self._clock.monotonic() - started

    def _moment(self) -> float:
        """The step, by which the rate rises and falls. Where epochs become shorter, as much of the
        steps that were planned at first as there is of the epochs."""
        here = self.position
        if self.job.known is None:
            return here.step
        return self._planned * (here.epoch + here.batch / self._batches) / self.job.epochs

    def _rate(self, step: float, group: Mapping[str, Any]) -> float:
        """Of a group of parameters: the job's rate times its `scale`, from step `start` on."""
        start: int = group.get("start", 0)
        if step < start:
            return 0.0
        highest = self.job.learning_rate * group.get("scale", 1.0)
        return learning_rate(
            step - start, self._planned - start, highest=highest, warmup=self.job.warmup
        )

    def _require_finite(self, loss: float, norm: float) -> None:
        if math.isfinite(loss) and math.isfinite(norm):
            return
        here, best = self.position, self.best
        kept = (
            f"the weights of epoch {best.epoch} (dev {best.score:.4f}) are kept"
            if best.epoch
            else "no epoch had ended, so nothing is kept"
        )
        what = f"loss became {loss}" if not math.isfinite(loss) else f"gradient became {norm}"
        raise TrainError(
            f"The {what} in step {here.step + 1} of {self.steps} (epoch {here.epoch + 1}); {kept}.",
            hint="Try a lower learning rate, or fp32.",
        )

    def _finish_epoch(self, score: Score) -> None:
        here, best = self.position, self.best
        if best.beaten_by(score.value, score.loss):
            best.epoch, best.score, best.loss = here.epoch + 1, score.value, score.loss
            best.weights = {
                name: parameter.detach().to("cpu", copy=True)
                for name, parameter in self.job.module.state_dict().items()
            }
            here.stale = 0
        else:
            here.stale += 1
        here.looks.append((score.value, score.loss))
        self._tell(score.value)
        here.epoch, here.batch, here.losses = here.epoch + 1, 0, 0.0
        if self._clock.monotonic() - self._saved > SAVE_EVERY and here.epoch < self.job.epochs:
            self._save()
            self._saved = self._clock.monotonic()

    def _tell(self, score: float | None) -> None:
        now = self._clock.monotonic()
        if score is None and now - self._told < TELL_EVERY:
            return
        self._told = now
        here, best = self.position, self.best
        seconds = max(here.seconds - self._first_seconds, 1e-9)
        steps = here.step - self._first_step
        self._on_progress(
            Progress(
                epoch=here.epoch + 1,
                epochs=self.job.epochs,
                step=here.step,
                steps=self.steps,
                loss=here.losses / max(1, here.batch),
                score=score,
                best=best.score if best.epoch else None,
                examples_per_second=(here.examples - self._first_examples) / seconds,
                seconds_left=(self.steps - here.step) * seconds / steps if steps else 0.0,
            )
        )
