"""A trained model's logits for any number of examples, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from freehold.data.types import Example, TaggedExample
from freehold.train.batches import Ids, pad_ids, plan
from freehold.train.checkpoint import load
from freehold.train.tasks.adapter import Encoded, Logits, TaskAdapter
from freehold.train.tasks.registry import adapter_of

__all__ = ["answer", "logits"]


def logits(
    checkpoint_dir: Path,
    examples: Sequence[Example] | Sequence[TaggedExample],
    *,
    batch_tokens: int = 4096,
) -> list[Logits]:
    """float32 logits, one array an example: (labels,), or (words, labels) for token-classification,
    where a word cut off by max_length gets a row that makes "O" certain.

    Computed in float32 on the CPU, so that an exported engine can be held against them.
    Raises NotFoundError and TrainError as `checkpoint.load` does.
    """
    model = load(checkpoint_dir)
    adapter = adapter_of(model.meta.task)
    encoded = adapter.encode(model.tokenizer, examples, model.meta.max_length)
    return answer(model.module, adapter, encoded, model.meta.labels, batch_tokens=batch_tokens)


def answer(
    module: torch.nn.Module,
    adapter: TaskAdapter,
    encoded: Encoded,
    labels: Sequence[str],
    *,
    ids: Sequence[Ids] | None = None,
    pad: int = 0,
    batch_tokens: int = 4096,
    device: torch.device | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> list[Logits]:
    """Decoded logits in the order of the examples; shorter if `go_on` said no between batches.

    `ids` take the place of the encoded ones where the module's vocabulary is renumbered.
    """
    rows = encoded.ids if ids is None else ids
    found: dict[int, Logits] = {}
    training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            for batch in plan(encoded.lengths(), batch_tokens):
                if not go_on():
                    break
                tokens, mask = pad_ids(rows, batch, pad)
                mask = None if mask is None else mask.to(device)
                out = module(tokens.to(device), mask).float().cpu().numpy()
                for row, number in enumerate(batch):
                    found[number] = adapter.decode(encoded, number, out[row].copy(), labels)
    finally:
        module.train(training)
    return [found[number] for number in sorted(found)]
