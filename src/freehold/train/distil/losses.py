"""How far a student is from its teacher: in what it answers, and in what its layers put out."""

from __future__ import annotations

import torch

__all__ = ["answer_loss", "distance_loss", "soft_loss"]


def soft_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """KL divergence of softmax(student / T) from softmax(teacher / T), times T squared, mean over
    the rows of (rows, labels) logits.

    Hinton, Vinyals, Dean 2015, Distilling the Knowledge in a Neural Network, section 2: the factor
    keeps the gradients at the size of those of hard labels, whatever the temperature.
    """
    divergence = torch.nn.functional.kl_div(
        torch.log_softmax(student.float() / temperature, -1),
        torch.log_softmax(teacher.float() / temperature, -1),
        log_target=True,
        reduction="batchmean",
    )
    return divergence * temperature**2


def answer_loss(student: torch.Tensor, teacher: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of the figures themselves as a share of the teacher's variance,
    `spread` (a scalar), for tasks whose logits are no alternatives (a score, labels of their own,
    a vector, where an answer starts)."""
    return torch.nn.functional.mse_loss(student.float(), teacher.float()) / spread


def distance_loss(
    student: torch.Tensor, teacher: torch.Tensor, spread: torch.Tensor
) -> torch.Tensor:
    """Mean squared difference of hidden vectors, (tokens, layers, width), as a share of the
    teacher's variance in each layer, `spread` (layers,): 0 for the same vectors, about 1 for a
    student that knows no more than the mean.

    Sun et al. 2019 (Patient Knowledge Distillation) and Jiao et al. 2020 (TinyBERT) match layers
    so; dividing by the variance makes one weight fit encoders of any scale.
    """
    squared = (student.float() - teacher.float()).square().mean((0, 2))
    return (squared / spread).mean()
