"""The loss of a batch of labelled texts, by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from freehold.train.adapter import adapter_of
from freehold.train.encoders import find, load_encoder
from freehold.train.fewshot.contrast import pooled_by_length, supervised_contrast
from freehold.train.heads.base import mean_of
from freehold.train.objective import Batch


def test_the_loss_of_four_texts_is_what_the_formula_says() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    # each text: one of its own label at cosine 1, two others at cosine 0, over temperature 0.5
    expected = -math.log(math.exp(2) / (math.exp(2) + 2))
    assert supervised_contrast(vectors, labels, 0.5).item() == pytest.approx(expected)


def test_several_of_a_label_count_as_their_mean() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
    labels = torch.tensor([3, 3, 3, 8])
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    losses = []
    for own in range(3):
        others = [n for n in range(4) if n != own]
        logits = {n: float(unit[own] @ unit[n]) for n in others}
        norm = math.log(sum(math.exp(value) for value in logits.values()))
        losses.append(-sum(logits[n] - norm for n in others if labels[n] == 3) / 2)
    # the last text stands alone: nothing is asked of it
    found = supervised_contrast(vectors, labels, 1.0).item()
    assert found == pytest.approx(sum(losses) / 3, rel=1e-5)


def test_a_batch_without_two_of_a_label_has_no_loss_and_finite_gradients() -> None:
    vectors = torch.randn(4, 3, requires_grad=True)
    loss = supervised_contrast(vectors, torch.arange(4), 0.1)
    loss.backward()
    assert loss.item() == 0.0
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


def test_texts_read_in_parts_give_the_vectors_of_the_whole_batch(encoder: Path) -> None:
    torch.manual_seed(0)
    module = adapter_of("text-classification").module(
        load_encoder(find(str(encoder)), attention="eager"), 2, 0.0
    )
    lengths = torch.randint(2, 20, (37,))
    mask = torch.arange(20)[None, :] < lengths[:, None]
    ids = torch.where(mask, torch.randint(5, 40, (37, 20)), 0)
    batch = Batch(list(range(37)), ids, mask, None, torch.zeros(37))
    whole = mean_of(module.eval().hidden(ids, mask, None), mask)
    torch.testing.assert_close(pooled_by_length(module, batch), whole, atol=1e-5, rtol=1e-4)
