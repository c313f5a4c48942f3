"""Masked language modelling: an encoder, a head over its own embeddings, what is to be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.train.batches import pad_ids, plan
from freehold.train.encoders import EncoderFiles
from freehold.train.loop import Job
from freehold.train.objective import Batch
from freehold.train.pretrain.heldout import HeldOut, language
from freehold.train.pretrain.masking import Masking, mask_tokens
from freehold.train.pretrain.packing import Rows, attention_of
from freehold.train.state import Position

__all__ = ["HiddenWords", "MaskedModel", "MaskedTexts", "new_bias", "stored_head"]

SPREAD = 0.02  # BERT's own initial spread

# What other programs call the parts of a head of this shape.
_KNOWN = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector"),
    ("head.dense", "head.norm", "head"),  # Freehold's own
)


class Head(torch.nn.Module):
    """BERT's: linear, GELU, norm, then each token's likeness to the word embeddings, and a bias a
    token. The embeddings are the encoder's own, so the head is small."""

    def __init__(self, hidden: int, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = torch.nn.Linear(hidden, width)
        self.norm = torch.nn.LayerNorm(width, eps=1e-12)
        self.bias = torch.nn.Parameter(torch.zeros(vocabulary))
        torch.nn.init.normal_(self.dense.weight, std=SPREAD)
        torch.nn.init.zeros_(self.dense.bias)

    def forward(self, hidden: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """(n, hidden) and the (vocabulary, width) table -> logits (n, vocabulary)."""
        told = self.norm(torch.nn.functional.gelu(self.dense(hidden)))
        return torch.nn.functional.linear(told, embeddings, self.bias)


class MaskedModel(torch.nn.Module):
    """Encoder and head; `forward` gives logits (batch, tokens, vocabulary)."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        table = self.embeddings()
        hidden = int(cast(Any, encoder).config.hidden_size)
        self.head = Head(hidden, table.shape[1], table.shape[0])

    def embeddings(self) -> torch.Tensor:
        weight: torch.Tensor = cast(Any, self.encoder).get_input_embeddings().weight
        return weight

    def hidden(
        self, ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor | None
    ) -> torch.Tensor:
        """(batch, tokens, hidden), for a mask as `attention_of` gives it."""
        where = {} if places is None else {"position_ids": places}
        found: torch.Tensor = self.encoder(
            input_ids=ids, attention_mask=mask, **where
        ).last_hidden_state
        return found

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        told: torch.Tensor = self.head(
            self.hidden(input_ids, attention_mask, None), self.embeddings()
        )
        return told


def stored_head(files: EncoderFiles, head: Head) -> bool:
    """Fill the head with the one in the checkpoint, if it has one of this shape."""
    from safetensors import safe_open

    for file in sorted(files.folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as stored:
            names = set(stored.keys())
            for dense, norm, bias in _KNOWN:
                wanted = {
                    "dense.weight": f"{dense}.weight",
                    "dense.bias": f"{dense}.bias",
                    "norm.weight": f"{norm}.weight",
                    "norm.bias": f"{norm}.bias",
                    "bias": f"{bias}.bias",
                }
                if not names.issuperset(wanted.values()):
                    continue
                found = {ours: stored.get_tensor(name) for ours, name in wanted.items()}
                if all(t.shape == head.state_dict()[name].shape for name, t in found.items()):
                    head.load_state_dict(found)
                    return True
    return False


def new_bias(rows: Rows, vocabulary: int) -> torch.Tensor:
    """The log of how often each token is in the texts (one more than it is, so that none is never):
    a head that says this and nothing else is already as good as the texts' word counts."""
    counts = np.bincount(np.concatenate(rows.ids), minlength=vocabulary)[:vocabulary] + 1
    return torch.from_numpy(np.log(counts / counts.sum()).astype(np.float32))


class HiddenWords:
    """Masks a batch anew and has the hidden words told. In the first `head_steps` steps the encoder
    is only read: a new head's errors are not yet worth changing it for."""

    def __init__(
        self, rows: Rows, masking: Masking, position: Position, *, head_steps: int
    ) -> None:
        self._rows, self._masking = rows, masking
        self._position, self._head_steps = position, head_steps

    def gradients(self, job: Job, batch: Batch) -> torch.Tensor:
        model = cast(MaskedModel, job.module)
        device = job.hardware.device
        words, _ = pad_ids(self._rows.words, batch.numbers, -1)
        ids, chosen = mask_tokens(batch.ids.cpu(), words, self._masking)
        gold = batch.ids[chosen.to(device)]
        mask, places = attention_of(self._rows, batch.numbers, batch.mask, causal=False)
        head_alone = self._position.step < self._head_steps
        with job.hardware.autocast():
            with torch.set_grad_enabled(not head_alone):
                hidden = model.hidden(
                    ids.to(device),
                    None if mask is None else mask.to(device),
                    None if places is None else places.to(device),
                )
            table = model.embeddings()
            logits = model.head(hidden[chosen.to(device)], table.detach() if head_alone else table)
        loss = torch.nn.functional.cross_entropy(logits.float(), gold)
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without types
        return loss.detach()


class MaskedTexts:
    """Held-out rows, masked once, so that every look is at the same question."""

    def __init__(self, rows: Rows, masking: Masking, pad: int, *, seed: int) -> None:
        self._rows, self._pad = rows, pad
        generator = torch.Generator().manual_seed(seed)
        self._read: list[NDArray[np.int32]] = []
        self._chosen: list[NDArray[np.bool_]] = []
        for ids, words in zip(rows.ids, rows.words, strict=True):
            read, chosen = mask_tokens(
                torch.from_numpy(ids)[None].long(),
                torch.from_numpy(words)[None],
                masking,
                generator=generator,
            )
            self._read.append(read[0].numpy().astype(np.int32))
            self._chosen.append(chosen[0].numpy())

    def look(
        self,
        model: MaskedModel,
        *,
        device: torch.device,
        batch_tokens: int,
        go_on: Callable[[], bool] = lambda: True,
    ) -> HeldOut | None:
        """The loss at the masked places; None if `go_on` said no in between."""
        losses = np.zeros(len(self._rows))
        counts = np.array([int(chosen.sum()) for chosen in self._chosen], np.int64)
        for numbers in plan(self._rows.lengths(), batch_tokens):
            if not go_on():
                return None
            losses[numbers] = self._losses(model, numbers, device)
        return language(losses, counts)

    def _losses(
        self, model: MaskedModel, numbers: Sequence[int], device: torch.device
    ) -> NDArray[np.float64]:
        """Each row's summed loss."""
        ids, plain = pad_ids(self._read, numbers, self._pad)
        gold, _ = pad_ids(self._rows.ids, numbers, self._pad)
        chosen = torch.zeros(ids.shape, dtype=torch.bool)
        for row, number in enumerate(numbers):
            chosen[row, : len(self._chosen[number])] = torch.from_numpy(self._chosen[number])
        mask, places = attention_of(self._rows, numbers, plain, causal=False)
        hidden = model.hidden(
            ids.to(device),
            None if mask is None else mask.to(device),
            None if places is None else places.to(device),
        )
        logits = model.head(hidden[chosen.to(device)], model.embeddings()).float()
        each = torch.nn.functional.cross_entropy(
            logits, gold[chosen].to(device), reduction="none"
        ).cpu()
        summed = np.zeros(len(numbers))
        np.add.at(summed, chosen.nonzero()[:, 0].numpy(), each.double().numpy())
        return summed
