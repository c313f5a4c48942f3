"""Data-parallel training: several processes, each with its share of every batch, as one run.

All processes prepare the same run. In each step every one computes the gradients of its share; they
are added up, so that all take the step that one process would take on the whole batch. The first
process looks at dev, tells the others what it saw, and alone writes anything down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import distributed

from freehold.errors import TrainError
from freehold.tasks.base import Score
from freehold.train.batches import pad_targets
from freehold.train.objective import Batch, Objective

if TYPE_CHECKING:
    from freehold.train.heads.base import Head
    from freehold.train.loop import Job
    from freehold.train.run import Run
    from freehold.train.state import Position

__all__ = ["LostError", "Share", "Team", "meeting_place"]

# Others wait for the first while it looks at dev; one that is gone is noticed at once.
PATIENCE = timedelta(hours=6)


class LostError(TrainError):
    """Another process of the team is gone."""


class Team:
    """The processes of one run, connected by gloo: tensors only, and no pickle."""

    def __init__(self, store: Any, rank: int, size: int, *, host: str = "127.0.0.1") -> None:
        """Waits for the others. `store` (of torch.distributed) is where they find each other,
        `host` the address of this machine that they can reach. Raises LostError if they do not
        come."""
        self.rank, self.size = rank, size
        gloo: Any = distributed.ProcessGroupGloo  # torch leaves most of it without types
        options = gloo._Options()
        options._timeout = PATIENCE
        # Otherwise gloo takes what the machine's name resolves to, on many systems 127.0.1.1.
        options._devices = [gloo.create_device(hostname=host)]
        try:
            self._group = gloo(store, rank, size, options)
        except RuntimeError as error:
            raise LostError("The workers could not connect to each other.") from error

    def add_up(self, numbers: torch.Tensor) -> None:
        """Replace `numbers` by the sum of those of all processes, the same bits in each."""
        self._wait(lambda: self._group.allreduce([numbers]))

    def take_over(self, numbers: torch.Tensor) -> None:
        """Replace `numbers` by those of the first process."""
        self._wait(lambda: self._group.broadcast(numbers, 0))

    def _wait(self, begin: Callable[[], Any]) -> None:
        try:
            begin().wait()
        except RuntimeError as error:  # gloo has no other
            raise LostError("Another worker was lost.", hint="Go on with --resume.") from error


def meeting_place(host: str, port: int = 0) -> Any:
    """A store of torch.distributed at an address: without a port a new one, whose `port` the others
    have to be told; with one that which another process opened."""
    made: Any = distributed
    return made.TCPStore(host, port, is_master=not port, wait_for_workers=False)


class Share:
    """An objective that learns from this process's share of each batch, and leaves in the
    parameters the gradients of the whole batch.

    That is exact where the inner objective is a mean over texts or targets, and where the head's
    loss compares the examples of a batch: then the processes tell each other their logits. What is
    drawn at random (dropout, where a walk starts) differs from process to process; the first goes
    on with torch's generator as one process would, the others draw by the number of the step, so
    that a run goes on after a stop as if there had been none. With R-Drop and class weights,
    agreement is weighted like the loss.
    """

    def __init__(self, run: Run, team: Team, wish: Callable[[], bool]) -> None:
        """All processes give the same run, and begin with the weights of the first. `wish` says
        whether somebody asked for a stop. `job` is the run's own, with shares of its batches."""
        job = run.job
        if job.known is not None:
            job.known.add_up = team.add_up
        self._head = cast("Head", job.module)
        self._inner: Objective = job.objective
        self._position: Position = run.position
        self._team, self._wish = team, wish
        self._ended = False
        self._batch: list[int] = []
        whole = self._whole if self._head.compares else None
        self.job = replace(job, objective=self, whole=whole)
        self._parameters = [one for one in job.module.parameters() if one.requires_grad]
        sizes = [one.numel() for one in self._parameters]
        # The gradients one after another, then whether each was there, then what `_notes` are.
        self._numbers = torch.zeros(sum(sizes) + len(sizes) + 3)
        parts = torch.split(self._numbers, [*sizes, len(sizes), 3])
        *self._parts, self._there, self._notes = parts
        self._level(job.module)

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        """Raises LostError, before anything has changed, where another process is gone."""
        mine = batch.numbers[self._team.rank :: self._team.size]
        self._batch = batch.numbers
        loss = weight = 0.0
        # To tell each other logits takes all, so one without a share takes any example.
        if mine or self._head.compares:
            share = job.material.batch(mine or batch.numbers[:1], job.hardware.device)
            weight = self._head.counted(share.targets, job.label_weights)
        if weight:
            if self._team.rank:
                self._draw_anew(job.seed)
            loss = self._inner.gradients(job, share).item()
        if self._head.compares:
            # Each has the loss of all, and of its gradients the part by its own logits.
            self._pack(loss, weight=1 / self._team.size, times=1)
        else:
            self._pack(loss, weight=weight, times=weight)
        self._team.add_up(self._numbers)
        return self._unpack()

    def _whole(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of all shares one after another, of which this process's own have gradients,
        and the targets in their order."""
        material, device = self.job.material, logits.device
        shares = [self._batch[rank :: self._team.size] for rank in range(self._team.size)]
        rows = [len(share) * material.parts for share in shares]
        mine = self._team.rank
        start = sum(rows[:mine])
        told = torch.zeros(sum(rows), logits.shape[-1])
        told[start : start + rows[mine]] = logits.detach()[: rows[mine]]
        self._team.add_up(told)
        all_ = told.to(device)
        parts = [all_[:start], logits[: rows[mine]].float(), all_[start + rows[mine] :]]
        # Where none of the rows is its own, there is still something to go back from.
        whole = torch.cat(parts) + 0 * logits.sum()
        numbers = [number for share in shares for number in share]
        return whole, pad_targets(material.targets, numbers).to(device)

    def stopping(self) -> bool:
        """Whether all should stop: what they agreed on in the last step."""
        return self._ended

    def look(self, evaluate: Callable[[], Score | None]) -> Score | None:
        """What `evaluate` found in the first process, told to all; None where it was stopped."""
        told = torch.zeros(3, dtype=torch.float64)
        if self._team.rank == 0:
            score = evaluate()
            if score is not None:
                told = torch.tensor([1.0, score.value, score.loss], dtype=torch.float64)
        self._team.take_over(told)
        seen, value, loss = told.tolist()
        return Score(value, loss) if seen else None

    def _pack(self, loss: float, *, weight: float, times: float) -> None:
        """Write down what is added up: `times` the gradients, `weight` times the loss."""
        for parameter, part in zip(self._parameters, self._parts, strict=True):
            if parameter.grad is None:
                part.zero_()
            else:
                part.copy_(parameter.grad.flatten()).mul_(times)
        self._there[:] = torch.tensor([one.grad is not None for one in self._parameters])
        self._notes[:] = torch.tensor([loss * weight, weight, float(self._wish())])

    def _unpack(self) -> torch.Tensor:
        """The gradients become the parameters' own; what no process had a gradient of has none, so
        that the optimizer leaves it alone."""
        losses, weights, wishes = self._notes.tolist()
        self._ended = wishes > 0
        for parameter, part, there in zip(
            self._parameters, self._parts, self._there.tolist(), strict=True
        ):
            mean = part.div_(weights).view_as(parameter)
            parameter.grad = mean.to(parameter.device) if there else None
        return torch.tensor(losses / weights if weights else float("nan"))

    def _draw_anew(self, seed: int) -> None:
        drawn = np.random.SeedSequence([seed, self._team.rank, self._position.step])
        torch.manual_seed(int(drawn.generate_state(1, np.uint64)[0] >> 1))

    def _level(self, module: torch.nn.Module) -> None:
        for tensor in module.state_dict().values():
            numbers = tensor.detach().to("cpu").contiguous()
            self._team.take_over(numbers)
            with torch.no_grad():
                tensor.copy_(numbers)
