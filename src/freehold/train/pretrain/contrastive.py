"""Sentence embeddings by contrast: each text finds its other half among those of the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import Ids, pad_ids, plan
from freehold.train.heads.base import mean_of
from freehold.train.loop import Job
from freehold.train.objective import Batch
from freehold.train.pretrain.heldout import HeldOut, retrieval

__all__ = [
    "EmbeddingModel",
    "Halves",
    "Pairs",
    "RetrievalTexts",
    "TwoMasks",
    "alignment",
    "in_batch_negatives",
    "uniformity",
]


def in_batch_negatives(
    a: torch.Tensor,
    b: torch.Tensor,
    *,
    temperature: float = 0.05,
    not_negative: torch.Tensor | None = None,
    both_ways: bool = False,
) -> torch.Tensor:
    """The mean loss of a[i] finding b[i] among all of b, by cosine / temperature; a scalar.

    Multiple-negatives ranking (Henderson et al. 2017), as SimCSE has it (Gao et al. 2021). `a` is
    (n, d) and `b` (n, d), or (m, d) with m > n where the rows from n on are further negatives.
    Neither has to be of length 1. `not_negative` is (n, m) bool: pairs besides i = j that belong
    together as well (the same text twice) and do not count as wrong. `both_ways` adds the loss of
    b[i] finding a[i], halved with the other.
    """
    a = torch.nn.functional.normalize(a.float(), dim=-1)
    b = torch.nn.functional.normalize(b.float(), dim=-1)
    likeness = a @ b.T / temperature
    own = torch.arange(len(a), device=a.device)
    if not_negative is not None:
        spared = not_negative.clone()
        spared[own, own] = False
        likeness = likeness.masked_fill(spared, -torch.inf)
    there = torch.nn.functional.cross_entropy(likeness, own)
    if not both_ways:
        return there
    back = torch.nn.functional.cross_entropy(likeness[:, : len(a)].T, own)
    return (there + back) / 2


def alignment(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """How far apart the halves of a pair are: the mean squared distance of vectors of length 1
    (Wang and Isola 2020); lower is better."""
    return float(((a - b) ** 2).sum(1).mean())


def uniformity(vectors: NDArray[np.float32]) -> float:
    """How evenly vectors of length 1 are spread over the sphere: the log of the mean of
    exp(-2 x squared distance) over all pairs (Wang and Isola 2020); lower is better."""
    distances = 2 - 2 * np.clip(vectors @ vectors.T, -1, 1)
    apart = distances[~np.eye(len(vectors), dtype=bool)]
    return float(np.log(np.exp(-2 * apart).mean()))


class EmbeddingModel(torch.nn.Module):
    """An encoder whose mean token vector is the embedding; there is no head."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Identity()

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(batch, tokens) -> (batch, hidden), not scaled to length 1."""
        hidden = cast(Any, self.encoder)(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        return mean_of(hidden, attention_mask)


@dataclass(frozen=True, slots=True)
class Halves:
    """Two sides as token ids, row by row, and the number of each side's text: rows with the same
    number on a side have the same text there, so that neither is wrong for the other."""

    a: list[Ids]
    b: list[Ids]
    a_text: NDArray[np.int64]
    b_text: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.a)

    def take(self, numbers: Sequence[int]) -> Halves:
        return Halves(
            [self.a[n] for n in numbers],
            [self.b[n] for n in numbers],
            self.a_text[list(numbers)],
            self.b_text[list(numbers)],
        )

    def together(self, numbers: Sequence[int]) -> NDArray[np.bool_]:
        """(n, n): which b belong to which a of these rows, as far as the file says."""
        a, b = self.a_text[list(numbers)], self.b_text[list(numbers)]
        found: NDArray[np.bool_] = (a[:, None] == a[None]) | (b[:, None] == b[None])
        return found


class TwoMasks:
    """SimCSE without labels (Gao et al. 2021): the text twice, each time with another dropout."""

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        mask = None if batch.mask is None else torch.cat([batch.mask, batch.mask])
        with job.hardware.autocast():
            vectors = job.module(torch.cat([batch.ids, batch.ids]), mask)
        a, b = vectors.chunk(2)
        loss = in_batch_negatives(a, b, temperature=self._temperature)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return loss.detach()


class Pairs:
    """Each a finds its b and each b its a. The rows of the job's material are both sides in one, so
    that a batch's budget holds for both; they are taken apart here."""

    def __init__(self, halves: Halves, temperature: float) -> None:
        self._halves, self._temperature = halves, temperature

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        device = job.hardware.device
        with job.hardware.autocast():
            a, b = (
                _vectors(job.module, side, batch.numbers, job.material.pad, device)
                for side in (self._halves.a, self._halves.b)
            )
        loss = in_batch_negatives(
            a,
            b,
            temperature=self._temperature,
            not_negative=torch.from_numpy(self._halves.together(batch.numbers)).to(device),
            both_ways=True,
        )
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return loss.detach()


class RetrievalTexts:
    """Held-out pairs: does each a come nearest to its own b, among all of them?"""

    def __init__(self, halves: Halves, pad: int, temperature: float) -> None:
        self._halves, self._pad, self._temperature = halves, pad, temperature

    def look(
        self,
        model: torch.nn.Module,
        *,
        device: torch.device,
        batch_tokens: int,
        go_on: Callable[[], bool] = lambda: True,
    ) -> HeldOut | None:
        """Share found first, alignment, uniformity; None if `go_on` said no in between."""
        sides = []
        for side in (self._halves.a, self._halves.b):
            vectors = np.zeros((len(side), 0), np.float32)
            for numbers in plan(np.array([len(ids) for ids in side], np.int64), batch_tokens):
                if not go_on():
                    return None
                found = _vectors(model, side, numbers, self._pad, device).float()
                unit = torch.nn.functional.normalize(found, dim=-1).cpu().numpy()
                if not vectors.shape[1]:
                    vectors = np.zeros((len(side), unit.shape[1]), np.float32)
                vectors[numbers] = unit
            sides.append(vectors)
        a, b = sides
        together = self._halves.together(range(len(a)))
        nearest = (a @ b.T).argmax(1)
        loss = in_batch_negatives(
            torch.from_numpy(a),
            torch.from_numpy(b),
            temperature=self._temperature,
            not_negative=torch.from_numpy(together),
        ).item()
        return retrieval(
            together[np.arange(len(a)), nearest],
            loss,
            alignment=alignment(a, b),
            uniformity=uniformity(a),
        )


def _vectors(
    model: torch.nn.Module,
    side: Sequence[Ids],
    numbers: Sequence[int],
    pad: int,
    device: torch.device,
) -> torch.Tensor:
    ids, mask = pad_ids(side, numbers, pad)
    found: torch.Tensor = model(ids.to(device), None if mask is None else mask.to(device))
    return found
