"""How well texts that were kept aside are told: loss, perplexity or retrieval, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HeldOut", "by_bootstrap", "language", "retrieval"]

RESAMPLES = 1000
LARGEST = math.log(1e12)  # a loss above it is shown as a perplexity of 1e12


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A look at the held-out texts. `loss` is the mean negative log-likelihood in nats; `value` is
    its perplexity exp(loss) for a language model, the share of texts that find their other half
    first for an embedding; `low` and `high` are the ends of value's 95 % interval."""

    loss: float
    value: float
    low: float
    high: float
    n: int  # tokens told, or texts that look for their other half
    alignment: float | None = None  # embeddings only: see `contrastive.alignment`
    uniformity: float | None = None

    def document(self) -> dict[str, float | int]:
        found = {
            "loss": self.loss,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
        }
        if self.alignment is not None and self.uniformity is not None:
            found |= {"alignment": self.alignment, "uniformity": self.uniformity}
        return found


def language(losses: NDArray[np.float64], counts: NDArray[np.int64]) -> HeldOut:
    """Of each row's summed loss and number of told tokens."""
    total = int(counts.sum())
    loss = float(losses.sum() / total)
    low, high = by_bootstrap(losses, counts.astype(np.float64))
    return HeldOut(loss, _perplexity(loss), _perplexity(low), _perplexity(high), total)


def retrieval(
    hits: NDArray[np.bool_], loss: float, *, alignment: float, uniformity: float
) -> HeldOut:
    """Of whether each text's own other half came first, and the contrastive loss over them."""
    found = hits.astype(np.float64)
    low, high = by_bootstrap(found, np.ones(len(found)))
    return HeldOut(loss, float(found.mean()), low, high, len(found), alignment, uniformity)


def by_bootstrap(
    sums: NDArray[np.float64], counts: NDArray[np.float64], *, seed: int = 0
) -> tuple[float, float]:
    """The 95 % percentile interval of sum(sums) / sum(counts) when whole rows are drawn anew
    (Efron and Tibshirani 1993, chapter 13); the same for the same input."""
    random = np.random.default_rng(seed)
    n = len(sums)
    ratios = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = random.integers(0, n, n)
        ratios[number] = sums[drawn].sum() / max(1e-12, float(counts[drawn].sum()))
    return float(np.percentile(ratios, 2.5)), float(np.percentile(ratios, 97.5))


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, LARGEST))
