"""Thresholds, correlations and losses against brute force and other libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from freehold.tasks.multi_label import TASK as MULTI
from freehold.tasks.multi_label import best_thresholds
from freehold.tasks.numbers import correlation, ranks, spearman
from freehold.tasks.types import LabelsExample
from freehold.train.heads.span import SpanHead
from freehold.train.heads.vector import order_loss

CHANCES = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=10, max_size=25)


def _f1(gold: np.ndarray, found: np.ndarray) -> float:
    both = gold.sum() + found.sum()
    return 2 * (gold & found).sum() / both if both else 0.0


@given(CHANCES)
def test_a_threshold_gives_the_best_f1_that_any_would(rows: list[tuple[int, bool]]) -> None:
    chances = np.array([[value / 8] for value, _ in rows])
    gold = np.array([[mark] for _, mark in rows])
    (limit,) = best_thresholds(gold, chances)
    best = max(_f1(gold, chances > cut) for cut in np.arange(-0.05, 1.05, 0.05))
    if gold.any():
        assert _f1(gold, chances > limit) == pytest.approx(best)
    assert limit <= 1


def test_neutral_logits_decide_at_one_half_what_these_do_at_their_thresholds() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(50, 3)).astype(np.float32)
    settings = {"thresholds": [0.2, 0.5, 0.9]}
    examples = [LabelsExample(n, "x", ()) for n in range(50)]
    moved = [MULTI.neutral(row, settings) for row in logits]
    one = MULTI.measure(examples, list(logits), ["a", "b", "c"], settings).all()
    other = MULTI.measure(examples, moved, ["a", "b", "c"], {}).all()
    assert one == other


NUMBERS = st.lists(st.integers(-5, 5), min_size=3, max_size=30)


@given(NUMBERS, st.integers(0, 100))
def test_correlations_are_those_of_scipy(values: list[int], seed: int) -> None:
    one = np.array(values, np.float64)
    other = np.random.default_rng(seed).integers(-3, 3, len(values)).astype(np.float64)
    np.testing.assert_allclose(ranks(one), stats.rankdata(one) - 1)
    if len(set(values)) > 1 and len(set(other.tolist())) > 1:
        assert correlation(one, other) == pytest.approx(stats.pearsonr(one, other).statistic)
        assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    else:
        assert correlation(one, other) == 0.0


def test_the_order_loss_asks_only_for_the_order() -> None:
    cosines, targets = torch.tensor([0.9, 0.1]), torch.tensor([5.0, 1.0])
    expected = math.log(1 + math.exp(20 * (0.1 - 0.9)))
    assert order_loss(cosines, targets).item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
    turned = math.log(1 + math.exp(20 * (0.9 - 0.1)))
    assert order_loss(cosines, targets.flip(0)).item() == pytest.approx(turned, rel=1e-4)
    assert order_loss(cosines, torch.tensor([2.0, 2.0])).item() == pytest.approx(0.0, abs=1e-6)


def test_padded_places_are_never_the_answer() -> None:
    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = type("Config", (), {"hidden_size": 4})()

        def forward(self, **given: torch.Tensor) -> object:
            ids = given["input_ids"]
            hidden = torch.ones(*ids.shape, 4) * ids[..., None]
            return type("Output", (), {"last_hidden_state": hidden})()

    head = SpanHead(Encoder(), 2, 0.0).eval()
    ids = torch.tensor([[1, 2, 9, 9]])
    mask = torch.tensor([[True, True, False, False]])
    logits = head(ids, mask)
    assert (logits[0, 2:] <= -1e4).all()
    assert (logits[0, :2] > -1e3).all()
    loss = head.loss(logits, torch.tensor([[0, 1]]), weight=None, smoothing=0.0)
    whole = head(ids[:, :2], None)
    alone = head.loss(whole, torch.tensor([[0, 1]]), weight=None, smoothing=0.0)
    assert loss.item() == pytest.approx(alone.item(), rel=1e-5)


def test_what_does_not_vary_has_no_correlation() -> None:
    assert correlation(np.full(3, 0.1), np.full(3, 0.7)) == 0.0
    assert correlation(np.full(3, 0.1), np.arange(3.0)) == 0.0
