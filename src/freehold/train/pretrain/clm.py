"""Causal language modelling: a decoder tells each next token of a text; perplexity is its score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import IGNORED, pad_ids, plan
from freehold.train.encoders import tied
from freehold.train.loop import Job
from freehold.train.objective import Batch
from freehold.train.pretrain.heldout import HeldOut, language
from freehold.train.pretrain.packing import Rows, attention_of

__all__ = ["CausalModel", "CausalTexts", "NextToken", "next_tokens"]


class CausalModel(torch.nn.Module):
    """A decoder and its head. A head that is the word embeddings has no weights of its own, so
    that nothing is stored twice; what a model does to its logits besides (a scale, a cap) is done
    by its own code."""

    def __init__(self, decoder: torch.nn.Module) -> None:
        super().__init__()
        model = cast(Any, decoder)
        # A tuple keeps the whole from being registered beside its own parts.
        self._whole = (model,)
        self.encoder: torch.nn.Module = model.base_model
        self.head: torch.nn.Module = (
            torch.nn.Identity() if tied(decoder) else model.get_output_embeddings()
        )

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(batch, tokens) -> logits (batch, tokens, vocabulary)."""
        where = {} if position_ids is None else {"position_ids": position_ids}
        logits: torch.Tensor = self._whole[0](
            input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **where
        ).logits
        return logits


def next_tokens(
    ids: torch.Tensor, mask: torch.Tensor | None, documents: torch.Tensor | None
) -> torch.Tensor:
    """What each token should be followed by, (batch, tokens): IGNORED at the end of each document,
    as the next one has nothing to do with it, and at padding."""
    targets = torch.full_like(ids, IGNORED)
    targets[:, :-1] = ids[:, 1:]
    if mask is not None:
        targets[:, :-1][~mask[:, 1:]] = IGNORED
    if documents is not None:
        targets[:, :-1][documents[:, 1:] != documents[:, :-1]] = IGNORED
    return targets


def _told(
    model: torch.nn.Module,
    rows: Rows,
    numbers: Sequence[int],
    ids: torch.Tensor,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and targets of a batch, on its device."""
    device = ids.device
    documents = None if rows.documents is None else pad_ids(rows.documents, numbers, -1)[0]
    targets = next_tokens(ids, mask, None if documents is None else documents.to(device))
    looks, places = attention_of(rows, numbers, mask, causal=True)
    logits = model(
        ids,
        None if looks is None else looks.to(device),
        position_ids=None if places is None else places.to(device),
    )
    return logits, targets


class NextToken:
    """The loss of every next token in the batch's documents."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        with job.hardware.autocast():
            logits, targets = _told(job.module, self._rows, batch.numbers, batch.ids, batch.mask)
        told = targets != IGNORED
        loss = torch.nn.functional.cross_entropy(logits[told].float(), targets[told])
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return loss.detach()


class CausalTexts:
    """Held-out rows, every next token of which is asked for."""

    def __init__(self, rows: Rows, pad: int) -> None:
        self._rows, self._pad = rows, pad

    def look(
        self,
        model: torch.nn.Module,
        *,
        device: torch.device,
        batch_tokens: int,
        go_on: Callable[[], bool] = lambda: True,
    ) -> HeldOut | None:
        """The loss over all next tokens; None if `go_on` said no in between."""
        losses = np.zeros(len(self._rows))
        counts = np.zeros(len(self._rows), np.int64)
        for numbers in plan(self._rows.lengths(), batch_tokens):
            if not go_on():
                return None
            losses[numbers], counts[numbers] = self._losses(model, numbers, device)
        return language(losses, counts)

    def _losses(
        self, model: torch.nn.Module, numbers: Sequence[int], device: torch.device
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Each row's summed loss and number of told tokens."""
        ids, mask = pad_ids(self._rows.ids, numbers, self._pad)
        mask = None if mask is None else mask.to(device)
        logits, targets = _told(model, self._rows, numbers, ids.to(device), mask)
        each = torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2), targets, ignore_index=IGNORED, reduction="none"
        )
        told = (targets != IGNORED).sum(1)
        return each.double().sum(1).cpu().numpy(), told.cpu().numpy()
