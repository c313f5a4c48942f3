"""An encoder as it is, and a linear layer on what it gives: each text is read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.tasks.types import Dataset
from freehold.train import closed, hardware
from freehold.train.batches import IGNORED, Ids, pad_ids, plan
from freehold.train.encoders import EncoderFiles, find, load_encoder
from freehold.train.finetune import FitResult
from freehold.train.hardware import Hardware
from freehold.train.recipe import Recipe

__all__ = ["Scaled", "features", "fit_frozen", "logistic"]

PENALTY = 0.03  # logistic regression's C on features of unit variance
ITERATIONS = 200
_BATCH_TOKENS = 4096

Floats = NDArray[np.float32]


def fit_frozen(
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    files: EncoderFiles | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Write the recipe's encoder, unchanged, with a new linear layer as the checkpoint `out`.

    The layer is multinomial logistic regression on the encoder's features (for texts the mean of
    the token vectors, for words that of their first token), fitted to the end by L-BFGS. Of the
    recipe count base, max_length, class_weights, precision, seed and threads. `on_progress` gets
    the texts read and their number. A Ctrl-C leaves nothing.

    Raises TrainError as `fit` does.
    """
    run = closed.prepare(train, dev, recipe, files or find(recipe.base))
    machine = hardware.choose(recipe.precision)
    with hardware.settled(recipe.threads, recipe.seed):
        encoder = load_encoder(run.files, attention=machine.attention)
        module: Any = run.adapter.module(encoder, len(run.labels), 0.0).to(machine.device).eval()
        pad = int(run.files.config().get("pad_token_id") or 0)
        rows = features(module, run.encoded.ids, pad, machine, on_progress)
        spoken = np.concatenate([np.atleast_1d(target) for target in run.targets])
        places = spoken != IGNORED
        given = Scaled.of(np.concatenate([np.atleast_2d(row) for row in rows])[places])
        model = logistic(balanced=recipe.class_weights == "balanced")
        weights, biases = closed.solved(model, given.rows, spoken[places], len(run.labels))
        weights, biases = given.unscaled(weights, biases)
        with torch.no_grad():
            module.head.weight.copy_(torch.from_numpy(weights))
            module.head.bias.copy_(torch.from_numpy(biases))
        return closed.save(run, module.cpu(), out, precision=machine.precision)


class Scaled:
    """Features of mean 0 and variance 1, on which one penalty fits every encoder."""

    def __init__(self, rows: Floats, mean: Floats, spread: Floats) -> None:
        self.rows, self._mean, self._spread = rows, mean, spread

    @classmethod
    def of(cls, rows: Floats) -> Scaled:
        """`rows` is (n, width)."""
        exact = rows.astype(np.float64)
        mean, spread = exact.mean(0).astype(np.float32), exact.std(0)
        # A feature that hardly moves is noise of the last digit, not to be blown up.
        spread = np.where(spread > 1e-5 * spread.max(), spread, 1).astype(np.float32)
        return cls((rows - mean) / spread, mean, spread)

    def like(self, rows: Floats) -> Floats:
        """Other rows, scaled as these were."""
        scaled: Floats = (rows - self._mean) / self._spread
        return scaled

    def unscaled(
        self, weights: closed.Floats, biases: closed.Floats
    ) -> tuple[closed.Floats, closed.Floats]:
        """Weights (labels, width) and biases that do on features as they come what these do on
        scaled ones."""
        plain = weights / self._spread
        return plain, biases - plain @ self._mean


def logistic(*, balanced: bool, penalty: float = PENALTY) -> Any:
    """scikit-learn's multinomial logistic regression, by default for scaled features."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(
        C=penalty, max_iter=ITERATIONS, class_weight="balanced" if balanced else None
    )


def features(
    module: Any,
    ids: list[Ids],
    pad: int,
    machine: Hardware,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Floats]:
    """What a task's module gives its last layer, in the order of the texts: (width,) each, or
    (tokens, width) where it answers every token."""
    head, module.head = module.head, torch.nn.Identity()
    found: dict[int, Floats] = {}
    try:
        with torch.no_grad(), machine.autocast():
            for batch in plan(np.array([len(row) for row in ids], np.int64), _BATCH_TOKENS):
                tokens, mask = pad_ids(ids, batch, pad)
                mask = None if mask is None else mask.to(machine.device)
                out = module(tokens.to(machine.device), mask).float().cpu().numpy()
                for row, number in zip(out, batch, strict=True):
                    found[number] = row[: len(ids[number])] if row.ndim > 1 else row
                if on_progress is not None:
                    on_progress(len(found), len(ids))
    finally:
        module.head = head
    return [found[number] for number in range(len(ids))]
