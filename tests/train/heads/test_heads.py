"""The heads of numbers, labels and parts of a text: where they start from, and losses by hand."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from freehold.errors import TrainError
from freehold.tasks.registry import kinds
from freehold.tasks.types import Dataset, ScoredExample
from freehold.train.adapter import adapter_of
from freehold.train.finetune import fit
from freehold.train.heads.labels import LabelsHead
from freehold.train.heads.number import NumberHead
from freehold.train.heads.span import SpanHead
from freehold.train.recipe import Recipe
from freehold.train.run import _require_labels_for


class Ones(torch.nn.Module):
    """An encoder whose vectors are the ids themselves, two figures a token."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=2)

    def forward(self, **given: torch.Tensor) -> Any:
        hidden = given["input_ids"].float().unsqueeze(-1).expand(-1, -1, 2)
        return SimpleNamespace(last_hidden_state=hidden)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def loss(head: Any, logits: Any, targets: Any, **more: Any) -> float:
    given = {"weight": None, "smoothing": 0.0, **more}
    return float(head.loss(torch.tensor(logits), torch.tensor(targets), **given))


def test_a_number_starts_at_the_mean_and_moves_in_standard_deviations() -> None:
    head = NumberHead(Ones(), 1, 0.0).eval()
    head.settle([np.array(value, np.float32) for value in (10.0, 20.0, 30.0)])
    spread = math.sqrt(200 / 3)
    with torch.no_grad():
        head.head.weight.fill_(0.5)
        found = head(torch.tensor([[1, 3]]))
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(20 + spread * (0.5 * 2 + 0.5 * 2))
    kept = head.state_dict()
    assert kept["centre"].item() == 20.0  # saved with the weights: logits keep their units
    assert kept["spread"].item() == pytest.approx(spread)


def test_the_loss_of_a_number_is_the_squared_error_in_variances() -> None:
    head = NumberHead(Ones(), 1, 0.0)
    head.settle([np.array(0.0, np.float32), np.array(4.0, np.float32)])
    assert loss(head, [[1.0], [6.0]], [3.0, 4.0]) == pytest.approx(
        ((2 / 2) ** 2 + (2 / 2) ** 2) / 2
    )


def test_the_same_score_throughout_does_not_divide_by_zero() -> None:
    head = NumberHead(Ones(), 1, 0.0)
    head.settle([np.array(5.0, np.float32)] * 3)
    assert math.isfinite(loss(head, [[5.0]], [5.0]))


def test_labels_start_from_how_frequent_they_are() -> None:
    head = LabelsHead(Ones(), 3, 0.0)
    head.settle([np.array(row, np.float32) for row in ([1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0])])
    bias = head.head.bias.detach()
    assert torch.sigmoid(bias).tolist() == pytest.approx([0.999, 0.25, 0.001], abs=1e-5)


def test_the_loss_of_labels_is_a_sum_over_labels_and_a_mean_over_texts() -> None:
    head = LabelsHead(Ones(), 2, 0.0)
    logits, targets = [[1.0, -2.0], [0.5, 3.0]], [[1.0, 0.0], [0.0, 1.0]]
    one = softplus(-1.0) + softplus(-2.0)
    other = softplus(0.5) + softplus(-3.0)
    assert loss(head, logits, targets) == pytest.approx((one + other) / 2)
    weighted = loss(head, logits, targets, weight=torch.tensor([1.0, 4.0]))
    assert weighted == pytest.approx((one + other + 3 * softplus(-3.0)) / 2)
    smooth = loss(head, [[1.0, 0.0]], [[1.0, 0.0]], smoothing=0.2)
    assert smooth == pytest.approx(0.9 * softplus(-1.0) + 0.1 * softplus(1.0) + math.log(2))


def test_a_rare_label_weighs_as_its_absences_at_most_20_times() -> None:
    targets = [np.array([n < 1, n < 25, n < 50, n < 90], np.float32) for n in range(100)]
    weight = LabelsHead.balance(targets, 4)
    assert weight is not None
    assert weight.tolist() == pytest.approx([20.0, 3.0, 1.0, 1.0])


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("knob", [{"class_weights": "balanced"}, {"label_smoothing": 0.1}])
def test_what_is_about_labels_is_refused_where_there_are_none(
    kind: str, knob: dict[str, Any]
) -> None:
    adapter = adapter_of(kind)
    recipe = Recipe(**knob)
    if "classification" in kind:
        _require_labels_for(recipe, adapter)
        return
    with pytest.raises(TrainError, match=f"the answers of {kind} are no labels") as refused:
        _require_labels_for(recipe, adapter)
    assert next(iter(knob)) in refused.value.message
    _require_labels_for(Recipe(), adapter)


def test_a_run_of_numbers_with_weights_of_labels_is_refused(encoder: Path, tmp_path: Path) -> None:
    examples = [ScoredExample(n, "my bike", float(n)) for n in range(4)]
    data = Dataset(Path("a.jsonl"), "regression", examples, "0", "jsonl", "utf-8", {}, False)
    with pytest.raises(TrainError, match="class_weights cannot be balanced"):
        fit(data, data, Recipe(base=str(encoder), class_weights="balanced"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_loss_of_a_part_is_the_mean_of_start_and_end() -> None:
    head = SpanHead(Ones(), 2, 0.0)
    # Two texts of three tokens; start and end figures of each token.
    logits = [[[0.0, 1.0], [2.0, 0.0], [1.0, 3.0]], [[5.0, 5.0], [0.0, 0.0], [0.0, 0.0]]]
    targets = [[1, 2], [0, 0]]  # tokens 1 to 2; not said here

    def chance(figures: list[float], place: int) -> float:
        return math.exp(figures[place]) / sum(math.exp(value) for value in figures)

    chances = [
        chance([0.0, 2.0, 1.0], 1),
        chance([1.0, 0.0, 3.0], 2),
        chance([5.0, 0.0, 0.0], 0),
        chance([5.0, 0.0, 0.0], 0),
    ]
    expected = -sum(math.log(one) for one in chances) / 4
    assert loss(head, logits, targets) == pytest.approx(expected, rel=1e-5)
