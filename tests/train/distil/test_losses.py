"""The losses, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from freehold.train.distil.losses import answer_loss, distance_loss, soft_loss


def test_soft_loss_of_two_labels_by_hand() -> None:
    # teacher 3/4 : 1/4, student 1/2 : 1/2 -> 3/4 ln(3/2) + 1/4 ln(1/2)
    teacher, student = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert soft_loss(student, teacher, 1.0).item() == pytest.approx(expected, rel=1e-6)


def test_a_temperature_softens_both_and_keeps_the_size_of_the_gradient() -> None:
    # 2 ln 3 / 2 = ln 3: at T = 2 the teacher's answer is the one above, and the factor is 4.
    teacher, student = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert soft_loss(student, teacher, 2.0).item() == pytest.approx(expected, rel=1e-6)


def test_soft_loss_is_the_mean_over_rows_and_zero_for_the_same_answers() -> None:
    rows = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])
    assert soft_loss(rows + 7, rows, 3.0).item() == pytest.approx(0, abs=1e-6)
    both = soft_loss(torch.zeros(2, 3), rows, 3.0)
    alone = [soft_loss(torch.zeros(1, 3), row[None], 3.0).item() for row in rows]
    assert both.item() == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_numbers_are_matched_by_their_squares() -> None:
    assert answer_loss(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]]), torch.tensor(5.0)
    ).item() == pytest.approx(0.5)  # squares 4 and 1, their mean 2.5


def test_distance_is_a_share_of_each_layers_variance() -> None:
    # two tokens, two layers, width 1: squared differences 1 and 9 (mean 5), 4 and 0 (mean 2)
    student = torch.tensor([[[0.0], [2.0]], [[0.0], [1.0]]])
    teacher = torch.tensor([[[1.0], [0.0]], [[3.0], [1.0]]])
    found = distance_loss(student, teacher, torch.tensor([10.0, 4.0]))
    assert found.item() == pytest.approx((5 / 10 + 2 / 4) / 2)
