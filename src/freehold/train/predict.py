"""A trained model's logits for any number of examples, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from freehold.tasks.base import Logits
from freehold.tasks.types import AnyExample
from freehold.train.adapter import Adapter, Rows, adapter_of
from freehold.train.batches import pad_ids, plan
from freehold.train.checkpoint import LoadedModel, load

__all__ = ["answer", "logits", "logits_of"]


def logits(
    checkpoint_dir: Path, examples: Sequence[AnyExample], *, batch_tokens: int = 4096
) -> list[Logits]:
    """float32 logits, one array an example: (labels,), or (words, labels) for token-classification,
    where a word that was not read gets a row that makes "O" certain; each task says its own.

    Computed in float32 on the CPU, so that an exported engine can be held against them.
    Raises NotFoundError and TrainError as `checkpoint.load` does.
    """
    return logits_of(load(checkpoint_dir), examples, batch_tokens=batch_tokens)


def logits_of(
    model: LoadedModel, examples: Sequence[AnyExample], *, batch_tokens: int = 4096
) -> list[Logits]:
    """The same of a model that is loaded already."""
    adapter = adapter_of(model.meta.task)
    meta = model.meta
    rows = adapter.encode(
        model.tokenizer, examples, meta.max_length, casing=meta.casing, lines=meta.lines
    )
    return answer(model.module, adapter, rows, meta.labels, batch_tokens=batch_tokens)


def answer(
    module: torch.nn.Module,
    adapter: Adapter,
    rows: Rows,
    labels: Sequence[str],
    *,
    pad: int = 0,
    batch_tokens: int = 4096,
    device: torch.device | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Logits]:
    """Joined logits in the order of the examples; shorter if `go_on` said no between batches."""
    found: dict[int, Logits] = {}
    training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            for batch in plan(rows.lengths(), batch_tokens):
                if not go_on():
                    break
                tokens, mask = pad_ids(rows.ids, batch, pad)
                mask = None if mask is None else mask.to(device)
                types = None if rows.types is None else pad_ids(rows.types, batch, 0)[0].to(device)
                out = module(tokens.to(device), mask, types).float().cpu().numpy()
                for row, number in enumerate(batch):
                    length = len(rows.ids[number])
                    found[number] = (out[row, :length] if out.ndim == 3 else out[row]).copy()
    finally:
        module.train(training)
    return [
        adapter.join(rows, number, [found[row] for row in rows.of(number)], labels)
        for number in range(len(rows.encoded))
        if all(row in found for row in rows.of(number))
    ]
