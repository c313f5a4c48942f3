"""The shrunk table: training it is training the whole one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from little import texts

from freehold.train.adapter import adapter_of
from freehold.train.encoders import find, load_encoder, load_tokenizer
from freehold.train.optimizer import adamw
from freehold.train.vocabulary import embedding_name, shrink


def steps(encoder: Path, *, shrunk: bool) -> torch.Tensor:
    """The whole table after three steps on a few texts."""
    torch.manual_seed(0)
    files = find(str(encoder))
    data = texts(8, seed=5)
    adapter = adapter_of("text-classification")
    rows = adapter.encode(load_tokenizer(encoder), data.examples[:1] * 4, 64).ids
    inner = load_encoder(files, attention="eager")
    vocabulary = shrink(inner, np.unique(np.concatenate(rows)).tolist(), pad=0) if shrunk else None
    module = adapter.module(inner, 2, 0.0).eval()
    update = adamw(module, 1e-2, weight_decay=0.0)
    for _ in range(3):
        ids = [row if vocabulary is None else vocabulary.renumber(row) for row in rows]
        logits = module(torch.tensor(np.stack(ids), dtype=torch.long))
        torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 0, 0])).backward()
        update.step()
        update.zero_grad()
    table = dict(module.state_dict())[embedding_name(module)]
    return table if vocabulary is None else vocabulary.whole(table)


def test_training_the_rows_in_use_is_training_the_table(encoder: Path) -> None:
    whole, part = steps(encoder, shrunk=False), steps(encoder, shrunk=True)
    assert part.shape == whole.shape
    torch.testing.assert_close(part, whole, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("pad", [0, 3])
def test_the_padding_keeps_its_number(encoder: Path, pad: int) -> None:
    vocabulary = shrink(load_encoder(find(str(encoder)), attention="eager"), [90, 7, 50], pad)
    assert vocabulary.renumber(np.array([pad], np.int32)).tolist() == [pad]
    assert vocabulary.renumber(np.array([7, 50, 90])).tolist() == [pad + 1, pad + 2, pad + 3]
