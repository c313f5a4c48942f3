"""The loop by itself: its own plan, rates by group, the looks it remembers, no memory left."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from freehold.errors import TrainError
from freehold.tasks.base import Score
from freehold.train.adapter import Adapter
from freehold.train.hardware import Hardware
from freehold.train.loop import Job, Loop, Material
from freehold.train.objective import Batch
from freehold.train.state import Best, Position


class Notes(torch.nn.Module):
    """Two parameters, in two groups of the optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.early = torch.nn.Parameter(torch.ones(1))
        self.late = torch.nn.Parameter(torch.ones(1))


class Watch:
    """Notes each batch; the loss pulls both parameters down."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        self.seen.append(batch.numbers)
        module = cast(Notes, job.module)
        loss = module.early.sum() + module.late.sum()
        loss.backward()
        return loss.detach()


class Greedy:
    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        return torch.empty(1 << 60)  # more than there is anywhere


def loop_of(objective: Any, *, scores: list[float], groups: list[dict[str, Any]]) -> Loop:
    module = Notes()
    rows = [np.arange(3, dtype=np.int32) for _ in range(4)]
    job = Job(
        module=module,
        adapter=cast(Adapter, None),
        material=Material(rows, [np.array(0, np.int64)] * 4, 0),
        hardware=Hardware(torch.device("cpu"), bf16=False),
        epochs=2,
        learning_rate=0.1,
        batch_tokens=64,
        warmup=0.0,
        clip_norm=0.0,
        patience=9,
        label_weights=None,
        label_smoothing=0.0,
        seed=0,
        objective=objective,
        plan=lambda epoch: [[epoch], [epoch + 2]],
    )
    for group in groups:
        group["params"] = [getattr(module, group["params"])]
    left = iter(scores)
    return Loop(
        job,
        torch.optim.SGD(groups, lr=0.1),
        Position(),
        Best(),
        evaluate=lambda: Score(next(left), 0.5),
        save=lambda: None,
        stopping=lambda: False,
        on_progress=lambda progress: None,
    )


def test_a_job_may_bring_its_own_plan_and_the_looks_are_kept() -> None:
    watch = Watch()
    loop = loop_of(watch, scores=[0.25, 0.125], groups=[{"params": "early"}, {"params": "late"}])
    assert loop.steps == 4
    assert loop.run()
    assert watch.seen == [[0], [2], [1], [3]]
    assert loop.position.looks == [(0.25, 0.5), (0.125, 0.5)]
    assert loop.best.epoch == 1


def test_a_group_may_start_later_and_go_faster() -> None:
    groups = [{"params": "early", "scale": 2.0}, {"params": "late", "start": 2}]
    loop = loop_of(Watch(), scores=[0.0, 0.0], groups=groups)
    loop.run()
    module = cast(Notes, loop.job.module)
    # Rates fall in a line to 0: the shares of 4 steps are 1, 3/4, 1/2, 1/4; of 2 steps 1, 1/2.
    assert module.early.item() == pytest.approx(1 - 0.2 * 2.5)
    assert module.late.item() == pytest.approx(1 - 0.1 * 1.5)


def test_no_memory_left_is_a_sentence() -> None:
    loop = loop_of(Greedy(), scores=[], groups=[{"params": "early"}])
    with pytest.raises(TrainError, match="not enough memory for steps of 64 tokens") as caught:
        loop.run()
    assert "--batch-tokens" in str(caught.value.hint)


def test_an_example_of_several_windows_is_counted_once() -> None:
    rows = [np.arange(3, dtype=np.int32) for _ in range(5)]
    begins = np.array([True, False, False, True, True])
    material = Material(rows, [np.array(0, np.int64)] * 5, 0, begins=begins)
    assert [material.examples(some) for some in ([0, 1], [1, 2], [3, 4, 0], [])] == [1, 0, 3, 0]
    assert Material(rows, material.targets, 0).examples([1, 2]) == 2
