"""The update rule's schedule and what is decayed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freehold.train.optimizer import adamw, learning_rate


@given(st.integers(1, 5000), st.floats(0, 0.99))
def test_the_rate_rises_to_its_highest_and_falls_to_almost_nothing(
    steps: int, warmup: float
) -> None:
    rates = [learning_rate(s, steps, highest=1.0, warmup=warmup) for s in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= warmup * steps + 1


def test_a_schedule_by_hand() -> None:
    rates = [learning_rate(step, 10, highest=1.0, warmup=0.2) for step in range(10)]
    assert rates == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_only_matrices_are_decayed() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    update = adamw(module, 0.1, weight_decay=0.5)
    for parameter in module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = [parameter.detach().clone() for parameter in module.parameters()]
    update.step()
    weight, *others = module.parameters()
    torch.testing.assert_close(weight.detach(), before[0] * (1 - 0.1 * 0.5))
    for parameter, was in zip(others, before[1:], strict=True):
        torch.testing.assert_close(parameter.detach(), was)
