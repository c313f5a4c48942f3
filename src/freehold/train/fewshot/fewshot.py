"""A classifier from a few examples a label: the encoder by contrast, then a head on what it gives.

SetFit (Tunstall et al. 2022) showed that pairs of a few examples teach a sentence encoder a task,
and that a plain classifier on its vectors does the rest. It draws pairs and reads both texts of
each; here a step reads some examples of some labels and learns from all pairs within them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import closed
from freehold.train.adapter import adapter_of
from freehold.train.encoders import EncoderFiles
from freehold.train.fewshot.contrast import Contrast
from freehold.train.fewshot.sampler import Sampler
from freehold.train.finetune import FitResult, fit
from freehold.train.frozen import features, logistic
from freehold.train.progress import Progress
from freehold.train.recipe import LORA_FASTER, Recipe
from freehold.train.run import Run

__all__ = ["fit_few"]

LEARNING_RATE = 2e-5
PASSES = 5  # times that each example is read, on average, where the recipe leaves it open
LABELS, EACH = 16, 4  # of a batch
TEMPERATURE = 0.1
PENALTY = 10.0  # logistic regression's C on vectors of length 1


def fit_few(
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    files: EncoderFiles | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] | None = None,
    hold: bool = False,
) -> FitResult:
    """Learn the recipe's encoder and a new head from a few labelled texts; the checkpoint ends in
    `out`, one like any other for the task.

    Of the recipe `epochs` is how often each example is read on average (5 if open) and
    `learning_rate` 2e-5 if open; batches have 16 labels with 4 examples each. The head is logistic
    regression on the vectors of `train`, fitted once at the end; dev chooses nothing, it is scored.
    Stopping and going on are as in `fit`.

    Raises TrainError for a task without one label a text, for smoothed labels, which neither the
    contrast nor the head knows, and what `fit` raises.
    """
    if adapter_of(train.task).task.head != "label":
        raise TrainError(
            f"Few-shot learning is for tasks with one label a text, not for {train.task}.",
            hint="Leave out --few-shot.",
        )
    if recipe.label_smoothing:
        raise TrainError(
            f"label_smoothing cannot be {recipe.label_smoothing}: few-shot learning compares texts "
            "by their labels, and smooths none.",
            hint="Leave label_smoothing at 0, also under [train] of freehold.toml.",
        )
    rate = LEARNING_RATE * (LORA_FASTER if recipe.lora_rank else 1)
    chosen = replace(
        recipe,
        learning_rate=recipe.learning_rate or rate,
        epochs=recipe.epochs or PASSES,
    )
    return fit(
        train,
        dev,
        chosen,
        out,
        on_progress=on_progress,
        resume=resume,
        should_stop=should_stop,
        hold=hold,
        files=files,
        objective=Contrast(TEMPERATURE),
        prepared=_equip,
    )


def _equip(run: Run, stopping: Callable[[], bool]) -> None:
    """Give the run its batches, all in one round, and a head that is fitted at its end."""
    encoder: Any = run.job.module.encoder
    if not any(parameter.requires_grad for parameter in encoder.parameters()):
        raise TrainError(
            "freeze_layers leaves nothing of the encoder to learn, and few-shot learning teaches "
            "the encoder.",
            hint="Freeze fewer layers.",
        )
    targets = [int(target) for target in run.job.material.targets]
    sampler = Sampler(targets, labels=LABELS, each=EACH, seed=run.job.seed)
    steps = max(1, round(len(targets) * run.job.epochs / sampler.size))

    def plan(epoch: int) -> list[list[int]]:
        return [sampler(step) for step in range(steps)]

    run.identity |= {"few-shot batches": [sampler.size, steps]}
    run.job = replace(run.job, plan=plan, epochs=1)
    run.before_look = lambda: fit_head(run)


def fit_head(run: Run) -> None:
    """Logistic regression on the vectors that the encoder gives the training texts at present, put
    into the module's linear layer."""
    job = run.job
    module: Any = job.module
    training = module.training
    module.eval()
    rows = features(module, list(job.material.ids), job.material.pad, job.hardware)
    module.train(training)
    vectors = np.stack(rows)
    # One penalty fits all encoders: vectors of mean length 1.
    scale = float(np.linalg.norm(vectors, axis=1).mean()) or 1.0
    targets = np.array([int(target) for target in job.material.targets])
    model = logistic(balanced=job.label_weights is not None, penalty=PENALTY)
    weights, biases = closed.solved(model, vectors / scale, targets, len(run.labels))
    with torch.no_grad():
        module.head.weight.copy_(torch.from_numpy(weights / scale))
        module.head.bias.copy_(torch.from_numpy(biases))
