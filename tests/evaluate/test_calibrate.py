"""Temperature scaling: what it finds, what it leaves alone, and how honestly it is measured."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax

from freehold.errors import MissingDependencyError
from freehold.evaluate.calibrate import (
    BOUNDS,
    calibrate,
    fit_temperature,
    probabilities,
    reliability,
)


def drawn(n: int, classes: int, scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth, times `scale`: the right temperature is `scale`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n, classes))
    gold = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits * scale, gold


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0])
def test_it_finds_the_temperature_the_data_were_made_with(scale: float) -> None:
    logits, gold = drawn(4000, 5, scale)
    assert fit_temperature(logits, gold) == pytest.approx(scale, rel=0.08)


def test_it_is_the_minimum_of_the_likelihood_on_a_fine_grid() -> None:
    logits, gold = drawn(300, 4, 2.0)
    grid = np.geomspace(*BOUNDS, 4000)
    rows = np.arange(len(gold))
    losses = [-log_softmax(logits / t, axis=1)[rows, gold].mean() for t in grid]
    assert fit_temperature(logits, gold) == pytest.approx(grid[int(np.argmin(losses))], rel=5e-3)
    assert fit_temperature(logits.astype(np.float32), gold) == pytest.approx(
        fit_temperature(logits, gold), rel=1e-3
    )


def test_answers_that_are_all_right_do_not_make_it_certain() -> None:
    logits = np.eye(3)[np.arange(30) % 3] * 4
    gold = np.arange(30) % 3
    found = fit_temperature(logits, gold)
    assert BOUNDS[0] * 2 < found < 4
    # as sure as thirty right answers and one imagined error in 32 allow
    assert probabilities(logits, found).max() == pytest.approx(1 - 1 / 32, abs=1e-3)


def test_answers_that_are_all_wrong_end_on_the_bound() -> None:
    logits = np.eye(3)[np.arange(30) % 3] * 4
    assert fit_temperature(logits, (np.arange(30) + 1) % 3) == pytest.approx(BOUNDS[1], rel=0.01)


def test_rows_no_temperature_can_change_and_unknown_labels_are_left_out() -> None:
    logits, gold = drawn(500, 4, 2.0)
    expected = fit_temperature(logits, gold)
    certain = np.array([[0.0, -np.inf, -np.inf, -np.inf], [1e6, 0.0, 0.0, 0.0]])
    more = np.concatenate([logits, certain, logits[:5]])
    ids = np.concatenate([gold, [2, 1], [-1, 4, 5, -1, 9]])
    assert fit_temperature(more, ids) == pytest.approx(expected)
    assert fit_temperature(certain, np.array([2, 1])) == 1.0
    assert fit_temperature(np.zeros((4, 1)), np.zeros(4, dtype=np.int64)) == 1.0


@given(
    arrays(np.float64, (6, 4), elements=st.floats(-30, 30, width=32), unique=True),
    st.floats(*BOUNDS),
)
@settings(max_examples=60, deadline=None)
def test_a_temperature_leaves_the_answer_and_the_sum_unchanged(
    logits: np.ndarray, temperature: float
) -> None:
    scaled = probabilities(logits, temperature)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    rows = np.arange(len(logits))
    # the top label stays on top; values too close for a float to tell apart may tie
    np.testing.assert_array_equal(scaled[rows, logits.argmax(axis=1)], scaled.max(axis=1))


def test_reliability_worked_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.5, 0.5]])
    measured = reliability(probs, np.array([0, 1, 1, 7]), bins=10)
    filled = {one.high: (one.n, one.confidence, one.accuracy) for one in measured.bins if one.n}
    assert filled[0.9] == pytest.approx((2, 0.9, 0.5))
    assert filled[0.7] == pytest.approx((1, 0.7, 1.0))
    assert filled[0.5] == pytest.approx((1, 0.5, 0.0))  # a label the model lacks: always wrong
    assert measured.ece == pytest.approx((2 * 0.4 + 0.3 + 0.5) / 4)
    brier = [0.01 + 0.01, 0.81 + 0.81, 0.09 + 0.09, 0.25 + 0.25 + 1]
    assert measured.brier == pytest.approx(sum(brier) / 4)


def test_bins_partition_the_whole_range() -> None:
    probs = np.array([[1.0, 0.0], [0.0, 1.0]])
    measured = reliability(probs, np.array([0, 1]))
    assert len(measured.bins) == 15
    assert measured.bins[0].low == 0
    assert measured.bins[-1].high == 1
    assert measured.bins[-1].n == 2
    assert (measured.ece, measured.brier) == (0, 0)


def test_scaling_is_measured_by_the_other_half() -> None:
    logits, gold = drawn(400, 5, 4.0)
    examples = np.arange(400) // 2  # two decisions an example
    found = calibrate(logits, gold, examples)
    assert found.method == "cross-fitted"
    assert len(found.fold_temperatures) == 2
    assert found.temperature == fit_temperature(logits, gold)
    assert found.temperature not in found.fold_temperatures
    assert found.after.ece < found.before.ece
    assert found == calibrate(logits, gold, examples)
    assert found != calibrate(logits, gold, examples, seed=1)


def test_a_temperature_that_was_given_is_measured_as_it_is() -> None:
    logits, gold = drawn(100, 3, 1.0)
    found = calibrate(logits, gold, np.arange(100), temperature=2.0)
    assert (found.temperature, found.method) == (2.0, "given")
    assert found.after == reliability(probabilities(logits, 2.0), gold)


def test_a_single_example_cannot_be_halved() -> None:
    logits, gold = drawn(3, 3, 1.0)
    assert calibrate(logits, gold, np.zeros(3, dtype=np.int64)).method == "in-sample"


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_scipy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(MissingDependencyError, match="needs scipy") as caught:
        fit_temperature(*drawn(10, 3, 1.0))
    assert "freehold[train]" in str(caught.value.hint)


def test_probabilities_of_minus_infinity_are_zero() -> None:
    probs = probabilities(np.array([[0.0, -math.inf]]), 3.0)
    assert probs.tolist() == [[1.0, 0.0]]
