"""What the teacher says of a row: worked out once and kept, or anew where memory is short."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from freehold.train.batches import plan
from freehold.train.distil.layers import tapped
from freehold.train.hardware import Hardware
from freehold.train.loop import Material
from freehold.train.objective import Batch

__all__ = ["Answers", "Kept", "Live", "Said", "Spread", "bytes_of", "room", "run_tapped"]

BATCH_TOKENS = 4096
SHARE = 4  # at most one in so many bytes of the machine's memory holds the teacher's vectors


@dataclass(frozen=True, slots=True)
class Said:
    """Answers to a batch, padding left out: `logits` (rows, labels), a row being a text, or a token
    where each token has an answer; `hidden` (tokens, layers, width), None where none are matched.
    """

    logits: torch.Tensor
    hidden: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the teacher's answers vary from row to row: the variance of its logits, a scalar, and
    of the vectors of each layer, (layers,) (of no use where none are matched)."""

    logits: torch.Tensor
    hidden: torch.Tensor

    @classmethod
    def of(cls, said: Said) -> Spread:
        logits = _variance(said.logits)
        return cls(logits, logits if said.hidden is None else _variance(said.hidden))


def _variance(rows: torch.Tensor) -> torch.Tensor:
    """Over the first axis, the mean over the last."""
    return rows.float().var(0, correction=0).mean(-1).clamp_min(1e-6)


class Answers(Protocol):
    def __call__(self, batch: Batch) -> Said:
        """The teacher's answers to a batch of the run's material; no gradients, on the device."""
        ...


def run_tapped(
    module: Any, hardware: Hardware, batch: Batch, layers: Sequence[int]
) -> tuple[torch.Tensor, Said]:
    """The module's logits as they are, and what it says of the batch, `layers` matched."""
    with hardware.autocast(), tapped(module.encoder, layers) as found:
        logits: torch.Tensor = module(batch.ids, batch.mask, batch.types)
    hidden = torch.stack(found, 2) if layers else None
    if batch.mask is None:
        flat = None if hidden is None else hidden.flatten(0, 1)
        said = Said(logits.flatten(0, 1) if logits.ndim > 2 else logits, flat)
    else:
        flat = None if hidden is None else hidden[batch.mask]
        said = Said(logits[batch.mask] if logits.ndim > 2 else logits, flat)
    return logits, said


class Live:
    """The teacher asked anew for each batch: costs its forward pass, and no memory."""

    def __init__(self, module: torch.nn.Module, hardware: Hardware, layers: Sequence[int]) -> None:
        """`layers` of the teacher's encoder are matched, none if empty. The module takes the run's
        own token numbers."""
        self._module = module.eval().requires_grad_(requires_grad=False)
        self._hardware, self._layers = hardware, layers

    def __call__(self, batch: Batch) -> Said:
        # Not inference_mode: its tensors may not take part in the student's backward pass.
        with torch.no_grad():
            return run_tapped(self._module, self._hardware, batch, self._layers)[1]


class Kept:
    """The teacher's answers to every row, worked out once: a step then costs a student's step.

    Logits are kept in float32; hidden vectors in bfloat16, which no encoder's outliers overflow.
    """

    def __init__(
        self,
        live: Answers,
        material: Material,
        device: torch.device,
        go_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Asks `live` about all of the material, but no further once `go_on` says no."""
        rows = np.array([len(ids) for ids in material.ids], np.int64)
        self._device, self._parts = device, material.parts
        self._starts = np.concatenate([[0], np.cumsum(rows.reshape(-1, material.parts).sum(1))])
        self._logits: dict[int, torch.Tensor] = {}
        self._hidden: torch.Tensor | None = None
        for numbers in plan(material.lengths(), BATCH_TOKENS):
            if not go_on():
                break
            self._keep(numbers, live(material.batch(numbers, device)))

    def _keep(self, numbers: list[int], said: Said) -> None:
        sizes = [self._size(number) for number in numbers]
        tokenwise = len(said.logits) == sum(sizes)  # else a row a text
        rows = sizes if tokenwise else [self._parts] * len(sizes)
        parts = torch.split(said.logits.float().cpu(), rows)
        self._logits.update(zip(numbers, (part.clone() for part in parts), strict=True))
        if said.hidden is None:
            return
        if self._hidden is None:
            shape = (int(self._starts[-1]), *said.hidden.shape[1:])
            self._hidden = torch.empty(shape, dtype=torch.bfloat16)
        for number, part in zip(numbers, torch.split(said.hidden.cpu(), sizes), strict=True):
            self._place(number).copy_(part)

    def __call__(self, batch: Batch) -> Said:
        logits = torch.cat([self._logits[number] for number in batch.numbers])
        hidden = None
        if self._hidden is not None:
            hidden = torch.cat([self._place(number) for number in batch.numbers]).to(self._device)
        return Said(logits.to(self._device), hidden)

    def _size(self, number: int) -> int:
        return int(self._starts[number + 1] - self._starts[number])

    def _place(self, number: int) -> torch.Tensor:
        assert self._hidden is not None
        return self._hidden[int(self._starts[number]) : int(self._starts[number + 1])]


def bytes_of(tokens: int, layers: int, width: int) -> int:
    """What keeping the hidden vectors of so many tokens takes."""
    return tokens * layers * width * 2


def room() -> int:
    """Bytes that may be taken for them on this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // SHARE
