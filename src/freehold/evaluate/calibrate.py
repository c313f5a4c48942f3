"""How far a model's confidence can be trusted, and the one number that mends it.

Temperature scaling divides the logits by T > 0 before the softmax (Guo et al. 2017, "On Calibration
of Modern Neural Networks", section 4.2): confidences change, the order of the labels does not. For
tagging every word is one decision; none is left out, "O" included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from freehold.errors import MissingDependencyError
from freehold.evaluate.spans import IntArray
from freehold.evaluate.tally import FloatArray

__all__ = [
    "BINS",
    "BOUNDS",
    "Bin",
    "Calibration",
    "Reliability",
    "calibrate",
    "fit_temperature",
    "probabilities",
    "reliability",
]

BINS = 15
BOUNDS = (0.05, 20.0)
# A logit this far below the largest has a probability under 3e-9 at any temperature within BOUNDS.
_CERTAIN = 400.0

Method = Literal["cross-fitted", "in-sample", "given"]


@dataclass(frozen=True, slots=True)
class Bin:
    """The decisions whose confidence lies in (low, high]: how many, their mean confidence and the
    share of them that is right (both 0 where there are none)."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """`ece` is the expected calibration error, 0..1; `brier` the multi-class Brier score, 0..2."""

    ece: float
    brier: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A temperature, and the reliability without it (`before`, T = 1) and with it (`after`).

    `method` says where `after` comes from. cross-fitted: each half of the examples was measured
    with the temperature of the other half (`fold_temperatures`). in-sample: fitted and measured on
    the same examples, too few to halve. given: the temperature came from elsewhere.
    """

    temperature: float
    method: Method
    fold_temperatures: tuple[float, ...]
    before: Reliability
    after: Reliability


def probabilities(logits: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Softmax of `logits / temperature`, shape (n, C) in and out; -inf is a probability of 0."""
    probs: FloatArray = np.exp(_log_softmax(logits / temperature))
    return probs


def fit_temperature(logits: FloatArray, gold: IntArray) -> float:
    """The temperature within BOUNDS that makes `gold` most likely; 1.0 where nothing can tell.

    `logits` has shape (n, C), `gold` (n,) the right label of each; ids outside 0..C-1 (labels the
    model does not know) are left out, as are rows that no temperature within BOUNDS could change.
    The mean negative log-likelihood is convex in 1/T, so a bounded search in log T finds its
    minimum (Brent 1973, "Algorithms for Minimization without Derivatives", chapter 5).

    Where every row is right the likelihood grows for ever as T falls. Then Platt's targets stand in
    (Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2): 1 - 1/(n+2) for
    the right label, as if one error had been seen, and the rest spread over the others.

    Raises MissingDependencyError without scipy.
    """
    classes = logits.shape[1]
    gaps = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    known = (gold >= 0) & (gold < classes)
    undecided = (gaps > -_CERTAIN).sum(axis=1) > 1
    gaps, gold = np.maximum(gaps, -_CERTAIN)[known & undecided], gold[known & undecided]
    n = len(gold)
    if n == 0:
        return 1.0
    every_row = np.arange(n)
    all_right = bool((gaps[every_row, gold] == 0).all())
    doubt = 1 / (n + 2) if all_right else 0.0

    def loss(log_temperature: float) -> float:
        log_p = _log_softmax(gaps / math.exp(log_temperature))
        right = log_p[every_row, gold]
        if not doubt:
            return float(-right.mean())
        others = (log_p.sum(axis=1) - right) / (classes - 1)
        return float(-((1 - doubt) * right + doubt * others).mean())

    return _minimum(loss)


def _minimum(loss: Callable[[float], float]) -> float:
    try:
        from scipy.optimize import minimize_scalar
    except ImportError:
        raise MissingDependencyError("scipy", "train", "Fitting a temperature") from None
    bounds = (math.log(BOUNDS[0]), math.log(BOUNDS[1]))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-5})
    return float(np.clip(math.exp(found.x), *BOUNDS))


def reliability(probs: FloatArray, gold: IntArray, bins: int = BINS) -> Reliability:
    """Confidence against accuracy of the top label, in `bins` bins of equal width.

    `probs` has shape (n, C), n > 0. ECE is Guo et al. 2017, equation 3: the mean gap between
    confidence and accuracy over the bins, weighted by their size. Brier 1950, "Verification of
    forecasts expressed in terms of probability": the mean squared distance to the truth. A gold id
    outside 0..C-1 is a label the model does not know: whatever it answers is wrong.
    """
    n, classes = probs.shape
    confidence = probs.max(axis=1)
    right = probs.argmax(axis=1) == gold
    which = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    size = np.bincount(which, minlength=bins)
    divisor = np.maximum(size, 1)
    mean_confidence = np.bincount(which, weights=confidence, minlength=bins) / divisor
    accuracy = np.bincount(which, weights=right, minlength=bins) / divisor
    known = (gold >= 0) & (gold < classes)
    at_gold = np.where(known, probs[np.arange(n), np.where(known, gold, 0)], 0.0)
    # sum over labels of (p - truth)^2, with truth 1 at gold: sum p^2 - 2 p_gold + 1
    brier = (probs**2).sum(axis=1) - 2 * at_gold + 1
    return Reliability(
        ece=float((size / n) @ np.abs(mean_confidence - accuracy)),
        brier=float(brier.mean()),
        bins=tuple(
            Bin(i / bins, (i + 1) / bins, int(size[i]), float(c), float(a))
            for i, (c, a) in enumerate(zip(mean_confidence, accuracy, strict=True))
        ),
    )


def calibrate(
    logits: FloatArray,
    gold: IntArray,
    examples: IntArray,
    *,
    temperature: float | None = None,
    seed: int = 0,
) -> Calibration:
    """Fit a temperature (or take the one given) and measure what it does.

    `logits` (n, C) and `gold` (n,) as in `fit_temperature`; `examples` (n,) is the example of each
    row (the sentence, for tagging), so that no sentence lies on both sides of the halving.
    A temperature measured where it was fitted looks better than it is; hence the cross-fitting.
    """
    before = reliability(probabilities(logits), gold)
    if temperature is not None:
        after = reliability(probabilities(logits, temperature), gold)
        return Calibration(temperature, "given", (), before, after)
    fitted = fit_temperature(logits, gold)
    fold = _halves(examples, seed)
    if fold.all() or not fold.any():
        after = reliability(probabilities(logits, fitted), gold)
        return Calibration(fitted, "in-sample", (), before, after)
    temperatures = tuple(
        fit_temperature(logits[fold != side], gold[fold != side]) for side in (0, 1)
    )
    divisor = np.array(temperatures)[fold]
    after = reliability(np.exp(_log_softmax(logits / divisor[:, None])), gold)
    return Calibration(fitted, "cross-fitted", temperatures, before, after)


def _halves(examples: IntArray, seed: int) -> IntArray:
    """0 or 1 for each row, the same for all rows of an example; half of the examples each."""
    distinct, position = np.unique(examples, return_inverse=True)
    side = np.arange(len(distinct)) % 2
    return np.random.default_rng([seed, 2]).permutation(side)[position].astype(np.int64)


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted: FloatArray = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return shifted
