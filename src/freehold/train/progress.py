"""What a running training tells whoever watches it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the run is: told after a step (a few times a second) and at the end of each epoch."""

    epoch: int  # 1-based
    epochs: int  # that the run has at most; early stopping may end it before
    step: int  # optimizer steps taken, over all epochs
    steps: int
    loss: float  # mean training loss of this epoch so far
    score: float | None  # dev score of this epoch; None until the epoch's end
    best: float | None  # best dev score so far
    examples_per_second: float  # over the training steps of this process
    seconds_left: float  # to the end of the last epoch, dev evaluation not included
