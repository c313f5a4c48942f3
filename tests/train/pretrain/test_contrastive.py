"""In-batch negatives, their measures, and the halves that are kept aside."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from freehold.train.encoders import load_tokenizer
from freehold.train.pretrain.contrastive import (
    Halves,
    alignment,
    in_batch_negatives,
    uniformity,
)
from freehold.train.pretrain.corpus import Corpus, halves_of

EYE = torch.eye(4)


def test_the_loss_is_the_cross_entropy_of_finding_ones_own() -> None:
    # Each finds its own at cosine 1 among three at 0.
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 3))
    assert in_batch_negatives(EYE, 7 * EYE, temperature=0.5).item() == pytest.approx(expected)
    both = in_batch_negatives(EYE, EYE, temperature=0.5, both_ways=True)
    assert both.item() == pytest.approx(expected)
    # A further negative, and one that does not count.
    more = in_batch_negatives(EYE, torch.cat([EYE, -EYE[:1]]), temperature=0.5)
    worse = math.log(math.exp(2) + 3 + math.exp(-2)) - 2
    assert more.item() == pytest.approx((worse + 3 * (math.log(math.exp(2) + 4) - 2)) / 4)
    spared = torch.zeros(4, 4, dtype=torch.bool)
    spared[0, 1] = spared[1, 0] = spared[2, 2] = True
    less = in_batch_negatives(EYE, EYE, temperature=0.5, not_negative=spared)
    two = math.log(math.exp(2) + 2) - 2
    assert less.item() == pytest.approx((2 * two + 2 * expected) / 4)


def test_one_text_alone_has_nothing_to_learn() -> None:
    alone = torch.ones(1, 3, requires_grad=True)
    loss = in_batch_negatives(alone, torch.ones(1, 3))
    loss.backward()
    assert loss.item() == 0
    assert alone.grad is not None
    assert torch.isfinite(alone.grad).all()


def test_alignment_and_uniformity_are_those_of_the_paper() -> None:
    eye = np.eye(3, dtype=np.float32)
    assert alignment(eye, eye) == 0
    assert alignment(eye, -eye) == pytest.approx(4)
    assert uniformity(eye) == pytest.approx(-4)  # each two are at a squared distance of 2
    assert uniformity(np.ones((3, 1), np.float32)) == pytest.approx(0)


def test_rows_with_the_same_text_belong_together() -> None:
    ids = [np.array([n], np.int32) for n in range(3)]
    halves = Halves(ids, ids, np.array([0, 0, 1]), np.array([0, 1, 1]))
    assert halves.together([0, 1, 2]).tolist() == [
        [True, True, False],
        [True, True, True],
        [False, True, True],
    ]


def test_a_text_without_a_partner_is_halved(encoder: Path) -> None:
    corpus = Corpus(Path("x.txt"), "", ["please refund my money now", "hello"])
    halves = halves_of(load_tokenizer(encoder), corpus, [0, 1], 64)
    assert len(halves) == 1  # hello has one token
    marks = {halves.a[0][0], halves.a[0][-1]}
    assert marks == {halves.b[0][0], halves.b[0][-1]}
    tokenizer = load_tokenizer(encoder)
    assert tokenizer.decode(halves.a[0].tolist()) == "please refund"
    assert tokenizer.decode(halves.b[0].tolist()) == "my money now"


def test_both_halves_of_a_pair_are_its_texts(encoder: Path) -> None:
    corpus = Corpus(Path("x.csv"), "", ["lost bike", "lost bike"], ["gone", "missing"])
    halves = halves_of(load_tokenizer(encoder), corpus, [0, 1], 64)
    assert halves.a_text.tolist() == [0, 0]
    assert halves.b_text.tolist() == [0, 1]
    assert len(halves.b[0]) == 3
