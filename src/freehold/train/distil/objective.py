"""What a student learns from in a step: the teacher's answers, its layers, and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from freehold.errors import TrainError
from freehold.train.distil.losses import answer_loss, distance_loss, soft_loss
from freehold.train.distil.teacher import Answers, Spread, run_tapped
from freehold.train.objective import loss_of

if TYPE_CHECKING:
    from freehold.train.loop import Job
    from freehold.train.objective import Batch

__all__ = ["ALTERNATIVES", "Distillation", "Weights"]

# Tasks whose logits are of labels that exclude one another; those of others are matched as numbers.
ALTERNATIVES = ("text-classification", "token-classification", "pair-classification")


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each part of the loss counts; TrainError for one that cannot be."""

    temperature: float = 2.0  # the teacher's and the student's logits are divided by it
    soft: float = 1.0  # the teacher's answers
    hidden: float = 1.0  # the teacher's layers
    hard: float = 0.0  # the labels, of the texts that have one

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise TrainError(f"{name} is {value}, but has to be 0 or more.")
        if not self.temperature:
            raise TrainError("temperature is 0, but has to be above it.")
        if not self.soft + self.hidden + self.hard:
            raise TrainError("soft, hidden and hard are all 0: there is nothing to learn from.")


class Distillation:
    """The weighted sum of the three losses; that of labels is of the examples that have one."""

    def __init__(
        self,
        teacher: Answers,
        weights: Weights,
        *,
        layers: Sequence[int],
        spread: Spread,
    ) -> None:
        """`layers` of the student are matched, none where the weight of the hidden states is 0;
        `spread` is how far what the teacher says varies."""
        self._teacher, self._weights = teacher, weights
        self._layers, self._spread = tuple(layers), spread

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        logits, said = run_tapped(job.module, job.hardware, batch, self._layers)
        expected = self._teacher(batch)
        weights = self._weights
        # 0, but with gradients: of a batch of texts without labels nothing else may be left
        loss = logits.float().sum() * 0
        if weights.soft:
            if job.adapter.task.kind in ALTERNATIVES:
                part = soft_loss(said.logits, expected.logits, weights.temperature)
            else:
                part = answer_loss(said.logits, expected.logits, self._spread.logits)
            loss = loss + weights.soft * part
        if said.hidden is not None and expected.hidden is not None:
            part = distance_loss(said.hidden, expected.hidden, self._spread.hidden)
            loss = loss + weights.hidden * part
        if weights.hard:
            loss = loss + weights.hard * self._hard(job, batch, logits)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return loss.detach()

    def _hard(self, job: Job, batch: Batch, logits: torch.Tensor) -> Any:
        """The task's own loss over the rows that have a label, weighed by their share."""
        material = job.material
        labelled = len(material.targets) - material.unlabelled
        rows = [row for row, number in enumerate(batch.numbers) if number < labelled]
        if not rows:
            return 0.0
        chosen = logits.view(-1, material.parts, *logits.shape[1:])[rows].flatten(0, 1)
        loss = loss_of(job, replace(batch, targets=batch.targets[rows]), chosen)
        return loss * (len(rows) / len(batch.numbers))
