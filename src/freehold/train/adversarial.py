"""Adversarial objectives: each step learns from the batch as it is made harder in the word vectors.

FGM and PGD walk uphill from the batch's own word vectors and learn from both ends; FreeLB learns on
every step of the walk, so that no pass is spent on the walk alone; R-Drop asks two passes with
different dropout to agree. What is added to the word vectors is bounded text by text, relative to
the length of the text's own vectors, so that one size fits encoders of any scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from freehold.errors import TrainError
from freehold.train.batches import IGNORED
from freehold.train.objective import Batch, Objective, Plain, forward, loss_of

if TYPE_CHECKING:
    from freehold.tasks.base import Task
    from freehold.train.loop import Job
    from freehold.train.recipe import Recipe

__all__ = ["Ascent", "FreeLB", "RDrop", "objective_of"]

_UNKNOWN = (
    "This encoder or task uses word vectors in a way that adversarial training does not know."
)
_PLAINLY = "Train it with --adversarial none, or rdrop."
# heads whose answers are probabilities, which R-Drop compares
RDROP_HEADS = ("label", "labels", "tags", "span")


def objective_of(recipe: Recipe, task: Task, special: Iterable[int]) -> Objective:
    """The objective that the recipe names. `special` are the ids, as the batches hold them, of the
    tokens that stand for no text ([CLS], [SEP]); they are left as they are.

    Raises TrainError where the task has no such objective.
    """
    kept, size = tuple(special), recipe.adversarial_size
    if recipe.adversarial == "fgm":
        return Ascent(kept, size, steps=1, weight=recipe.adversarial_weight)
    if recipe.adversarial == "pgd":
        steps = recipe.adversarial_steps
        return Ascent(kept, size, steps=steps, weight=recipe.adversarial_weight)
    if recipe.adversarial == "freelb":
        return FreeLB(kept, size, steps=recipe.adversarial_steps)
    if recipe.adversarial == "rdrop":
        if task.head not in RDROP_HEADS:
            raise TrainError(
                f"R-Drop compares probabilities, and {task.kind} has none.",
                hint="Take --adversarial fgm, pgd or freelb.",
            )
        return RDrop(recipe.adversarial_weight, task.head)
    return Plain()


@dataclass(frozen=True, slots=True)
class Ascent:
    """The loss at the batch and the loss where `steps` uphill steps lead, weighted 1 to `weight`.

    One step is FGM (Miyato, Dai and Goodfellow 2017, "Adversarial Training Methods for
    Semi-Supervised Text Classification"), several are PGD (Madry et al. 2018, "Towards Deep
    Learning Models Resistant to Adversarial Attacks"). The first step takes its gradient from the
    pass over the batch itself; those between give no gradients to the parameters, only to the word
    vectors, so a step costs 1 + steps forward and little more than 2 whole backward passes.
    """

    special: tuple[int, ...]
    size: float
    steps: int
    weight: float

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        ball = _Ball.around(job, batch, self.special, self.size)
        here = ball.centre()
        first = _loss_at(job, batch, here) / (1 + self.weight)
        _backward(first)
        slope = here.grad
        for step in range(self.steps):
            # Half as far again as the rim, so that it is reached before the last step.
            here = ball.uphill(here, slope, min(1.0, 1.5 / self.steps))
            if step < self.steps - 1:
                slope = torch.autograd.grad(_loss_at(job, batch, here), here)[0]
        last = _loss_at(job, batch, here) * (self.weight / (1 + self.weight))
        _backward(last)
        return (first + last).detach()


@dataclass(frozen=True, slots=True)
class FreeLB:
    """The mean loss along a walk of `steps` points, from a random one uphill (Zhu et al. 2020,
    "FreeLB: Enhanced Adversarial Training for Natural Language Understanding").

    Each backward pass gives both the parameters' gradients, which add up over the walk, and the
    direction of its next step: `steps` forward and backward passes in all, and none beside them.
    """

    special: tuple[int, ...]
    size: float
    steps: int

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        ball = _Ball.around(job, batch, self.special, self.size)
        here = ball.anywhere()
        total = torch.zeros((), device=batch.ids.device)
        for step in range(self.steps):
            loss = _loss_at(job, batch, here) / self.steps
            _backward(loss)
            total += loss.detach()
            if step < self.steps - 1:
                here = ball.uphill(here, here.grad, min(1.0, 1.5 / self.steps))
        return total


@dataclass(frozen=True, slots=True)
class RDrop:
    """Two passes with different dropout: the mean of their losses, and `weight` times the mean of
    the two divergences between their answers (Liang et al. 2021, "R-Drop: Regularized Dropout for
    Neural Networks"; its alpha is twice our weight). Without any dropout the divergence is 0."""

    weight: float
    head: str  # of the task: what its logits mean

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        twice = _twice(batch)
        logits = forward(job, twice)
        apart = _divergence(self.head, logits, batch.targets)
        loss = loss_of(job, twice, logits) + self.weight * apart
        _backward(loss)
        return loss.detach()


@dataclass(frozen=True, slots=True)
class _Ball:
    """What may be added to a batch's word vectors, (batch, tokens, width): nothing at padding and
    special tokens, and for each text at most `radius`, (batch, 1, 1), as a whole."""

    allowed: torch.Tensor  # (batch, tokens, 1) of 0 and 1
    radius: torch.Tensor
    width: int

    @classmethod
    def around(cls, job: Job, batch: Batch, special: tuple[int, ...], size: float) -> _Ball:
        kept = torch.isin(batch.ids, torch.tensor(special, device=batch.ids.device)).logical_not()
        if batch.mask is not None:
            kept &= batch.mask
        allowed = kept.unsqueeze(-1).float()
        with torch.no_grad():
            # Looked up past the module's hooks: this is no pass of the model.
            weight = cast(torch.Tensor, _embedding(job.module).weight)
            vectors = torch.nn.functional.embedding(batch.ids, weight).float() * allowed
        return cls(allowed, size * _length(vectors), vectors.shape[-1])

    def centre(self) -> torch.Tensor:
        start = torch.zeros(*self.allowed.shape[:2], self.width, device=self.allowed.device)
        return start.requires_grad_()

    def anywhere(self) -> torch.Tensor:
        """Uniform noise, as long as the radius over the square root of 3 on average."""
        shape = (*self.allowed.shape[:2], self.width)
        noise = torch.empty(shape, device=self.allowed.device).uniform_(-1, 1) * self.allowed
        numbers = self.allowed.sum((1, 2), keepdim=True).clamp_min(1) * self.width
        return (noise * self.radius / numbers.sqrt()).requires_grad_()

    def uphill(self, here: torch.Tensor, slope: torch.Tensor | None, share: float) -> torch.Tensor:
        """`share` of the radius along the gradient, and back to the rim where that is beyond it."""
        if slope is None:  # the encoder did not look its words up where it says it does
            raise TrainError(_UNKNOWN, hint=_PLAINLY)
        with torch.no_grad():
            slope = slope * self.allowed
            there = here + share * self.radius * slope / _length(slope).clamp_min(1e-20)
            there *= (self.radius / _length(there).clamp_min(1e-20)).clamp_max(1)
        return there.requires_grad_()


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Of each text's vectors as one, (batch, 1, 1)."""
    return vectors.pow(2).sum((1, 2), keepdim=True).sqrt()


def _embedding(module: torch.nn.Module) -> torch.nn.Module:
    found: torch.nn.Module = cast(Any, module).encoder.get_input_embeddings()
    return found


def _loss_at(job: Job, batch: Batch, added: torch.Tensor) -> torch.Tensor:
    """The loss with this much added to the word vectors."""
    with _adding(job, added):
        logits = forward(job, batch)
    return loss_of(job, batch, logits)


@contextmanager
def _adding(job: Job, added: torch.Tensor) -> Iterator[None]:
    def add(module: torch.nn.Module, inputs: Any, vectors: torch.Tensor) -> torch.Tensor:
        if vectors.shape != added.shape:
            raise TrainError(_UNKNOWN, hint=_PLAINLY)
        return vectors + added

    hook = _embedding(job.module).register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


def _twice(batch: Batch) -> Batch:
    def both(one: torch.Tensor | None) -> torch.Tensor | None:
        return None if one is None else torch.cat([one, one])

    return Batch(
        numbers=batch.numbers * 2,
        ids=torch.cat([batch.ids, batch.ids]),
        mask=both(batch.mask),
        types=both(batch.types),
        targets=torch.cat([batch.targets, batch.targets]),
    )


def _divergence(head: str, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean of KL(p, q) and KL(q, p) over what has a target; logits of p, then those of q.

    (p - q) (log p - log q) summed over the outcomes is KL(p, q) + KL(q, p).
    """
    if head == "labels":  # each label yes or no by itself; log p - log (1 - p) is its logit
        first, second = logits.float().chunk(2)
        return ((first.sigmoid() - second.sigmoid()) * (first - second)).sum(-1).mean() / 2
    logits = logits.float()
    if head == "span":  # (batch, 2, tokens): the start and the end are one of the tokens each
        logits = logits.transpose(1, 2)
    first, second = logits.log_softmax(-1).chunk(2)
    both = ((first.exp() - second.exp()) * (first - second)).sum(-1) / 2
    return both[targets != IGNORED].mean() if head == "tags" else both.mean()


def _backward(loss: torch.Tensor) -> None:
    loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
