"""What the methods share that fit a linear layer in one go: data as numbers, and the checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import checkpoint
from freehold.train.adapter import Adapter, Rows, adapter_of
from freehold.train.checkpoint import Meta
from freehold.train.encoders import EncoderFiles, load_tokenizer, longest_input
from freehold.train.finetune import FitResult, require_usable
from freehold.train.predict import answer
from freehold.train.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Closed", "prepare", "save", "solved"]

Floats = NDArray[np.float64]

NEVER = -1e4  # the bias of a label that was never seen


@dataclass(frozen=True, slots=True)
class Closed:
    """A run that is over in one go: what is learnt from, tokenised once, and what from when."""

    train: Dataset
    dev: Dataset
    recipe: Recipe
    files: EncoderFiles
    adapter: Adapter
    tokenizer: Tokenizer
    labels: list[str]
    max_length: int
    encoded: Rows
    dev_encoded: Rows
    targets: list[NDArray[np.int64]]  # of each example of `train`
    started: float  # seconds of a monotonic clock


def prepare(train: Dataset, dev: Dataset, recipe: Recipe, files: EncoderFiles) -> Closed:
    """Tokenise both sets with the tokenizer of `files`. Raises TrainError as `fit` does."""
    started = SystemClock().monotonic()
    require_usable(train, dev)
    adapter = adapter_of(train.task)
    labels = adapter.labels(train)
    tokenizer = load_tokenizer(files.folder)
    max_length = min(recipe.max_length, longest_input(files))
    encoded = adapter.encode(tokenizer, train.examples, max_length)
    return Closed(
        train=train,
        dev=dev,
        recipe=recipe,
        files=files,
        adapter=adapter,
        tokenizer=tokenizer,
        labels=labels,
        max_length=max_length,
        encoded=encoded,
        dev_encoded=adapter.encode(tokenizer, dev.examples, max_length),
        targets=adapter.targets(encoded, train.examples, labels),
        started=started,
    )


def save(
    run: Closed,
    module: torch.nn.Module,
    out: Path,
    *,
    config: Mapping[str, Any] | None = None,
    precision: str = "fp32",
) -> FitResult:
    """Score the module on dev in float32 and write it as the checkpoint `out`.

    `config` is the encoder's config.json, where that is not the one in `run.files`; `precision`
    what the features were computed in.
    """
    logits = answer(module, run.adapter, run.dev_encoded, run.labels)
    score = run.adapter.score(run.dev.examples, logits, run.labels)
    meta = Meta(
        task=run.train.task,
        labels=tuple(run.labels),
        max_length=run.max_length,
        base=run.files.name,
        base_sha256=run.files.sha256,
        score_name=run.adapter.score_name,
        score=score.value,
        epoch=1,
        recipe=run.recipe.document(),
    )
    checkpoint.save(out, module.state_dict(), run.files.folder, meta, config=config)
    seconds = SystemClock().monotonic() - run.started
    return FitResult(
        path=out,
        task=run.train.task,
        labels=run.labels,
        score=score.value,
        score_name=run.adapter.score_name,
        seconds=seconds,
        examples=len(run.train),
        examples_per_second=len(run.train) / max(seconds, 1e-9),
        epochs=1,
        interrupted=False,
        best_epoch=1,
        precision=precision,
        threads=torch.get_num_threads(),
        base_sha256=run.files.sha256,
        dev_logits=logits,
    )


def solved(
    model: Any, features: Any, targets: NDArray[np.int64], labels: int
) -> tuple[Floats, Floats]:
    """Fit a linear model of scikit-learn; its weights (labels, features) and biases (labels,).

    Of two labels scikit-learn keeps the difference alone; half of it for each label gives the same
    decisions and, for logistic regression, the same probabilities. A label that no target has is
    never answered. Raises TrainError where all targets are one label.
    """
    from sklearn.exceptions import ConvergenceWarning

    found = np.unique(targets)
    if len(found) < 2:
        raise TrainError(
            "All examples have the same label; there is nothing to tell apart.",
            hint="Add examples of what else may come in.",
        )
    with warnings.catch_warnings():
        # A solution that lacks its last digits is scored on dev like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, targets)
    weights, biases = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(weights) == 1:
        weights = np.concatenate([-weights, weights]) / 2
        biases = np.concatenate([-biases, biases]) / 2
    every_weight, every_bias = np.zeros((labels, weights.shape[1])), np.full(labels, NEVER)
    every_weight[found], every_bias[found] = weights, biases
    return every_weight, every_bias
