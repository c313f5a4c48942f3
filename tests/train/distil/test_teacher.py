"""The teacher's answers: kept ones are those it would give again, padding left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from freehold.tasks.types import Dataset
from freehold.train.adapter import adapter_of
from freehold.train.batches import plan
from freehold.train.checkpoint import load
from freehold.train.distil.teacher import Kept, Live, bytes_of, room
from freehold.train.hardware import Hardware
from freehold.train.loop import Material

CPU = Hardware(torch.device("cpu"), bf16=False)


def material_of(folder: Path, data: Dataset) -> tuple[torch.nn.Module, Material]:
    model = load(folder)
    adapter = adapter_of(data.task)
    encoded = adapter.encode(model.tokenizer, data.examples, model.meta.max_length)
    targets = adapter.targets(encoded, data.examples, model.meta.labels)
    return model.module, Material(encoded.ids, targets, 0)


@pytest.mark.parametrize("layers", [(), (1, 3)])
@pytest.mark.parametrize("task", ["texts", "sentences"])
def test_kept_answers_are_the_live_ones(
    task: str, layers: tuple[int, ...], request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue("teacher" if task == "texts" else "tagger")
    module, material = material_of(folder, request.getfixturevalue(f"dev_{task}"))
    live = Live(module, CPU, layers)
    kept = Kept(live, material, CPU.device)
    for numbers in plan(material.lengths(), 60, random=np.random.default_rng(0)):
        batch = material.batch(numbers, CPU.device)
        ours, theirs = kept(batch), live(batch)
        assert ours.logits.shape == theirs.logits.shape
        torch.testing.assert_close(ours.logits, theirs.logits, rtol=1e-4, atol=1e-4)
        rows = sum(len(material.ids[n]) for n in numbers) if task == "sentences" else len(numbers)
        assert len(ours.logits) == rows
        if not layers:
            assert ours.hidden is None
            assert theirs.hidden is None
            continue
        assert ours.hidden is not None
        assert theirs.hidden is not None
        # bfloat16 has eight bits of a number
        torch.testing.assert_close(ours.hidden.float(), theirs.hidden, rtol=2**-8, atol=1e-3)


def test_it_stops_asking_when_told_so(teacher: Path, dev_texts: Dataset) -> None:
    module, material = material_of(teacher, dev_texts)
    asked = []
    live = Live(module, CPU, ())
    Kept(lambda batch: asked.append(1) or live(batch), material, CPU.device, lambda: False)
    assert not asked


def test_memory_is_counted_in_bytes() -> None:
    assert bytes_of(1000, 3, 384) == 1000 * 3 * 384 * 2
    assert room() > 1 << 26
