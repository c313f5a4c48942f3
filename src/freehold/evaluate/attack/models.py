"""What an attack asks: a trained model's probabilities, and how alike two texts are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from freehold.errors import DataError
from freehold.evaluate.attack.driver import Predict, Row, Similarity
from freehold.tasks.types import Example

__all__ = ["likeness", "predictor", "require_classifier"]

BATCH_TOKENS = 4096
LIKENESS_LENGTH = 128  # tokens that are compared of each text


def require_classifier(task: str) -> None:
    """Raises DataError for a task that is no choice of one label a text."""
    if task != "text-classification":
        raise DataError(
            f"Attacks are made on text-classification only, and the model is for {task}.",
            hint="Name a version whose task is text-classification; `freehold models` lists them.",
        )


def predictor(checkpoint: Path) -> tuple[Predict, list[str]]:
    """Probabilities by a checkpoint's weights in float32, and its labels; the module stays loaded.

    Raises DataError (another task), NotFoundError and TrainError as `checkpoint.load` does.
    """
    from freehold.train.checkpoint import load
    from freehold.train.predict import logits_of

    model = load(checkpoint)
    require_classifier(model.meta.task)

    def predict(texts: Sequence[str]) -> Row:
        examples = [Example(number, text) for number, text in enumerate(texts)]
        rows = np.stack(logits_of(model, examples, batch_tokens=BATCH_TOKENS)).astype(np.float64)
        powers = np.exp(rows - rows.max(1, keepdims=True))
        shares: Row = powers / powers.sum(1, keepdims=True)
        return shares

    return predict, list(model.meta.labels)


def likeness(base: str = "minilm") -> Similarity:
    """Cosines of sentence embeddings (mean of the token vectors) by an encoder as it came, so that
    no model judges its own attack. It is loaded when first asked; each text is embedded once.

    Raises TrainError, IntegrityError and MissingDependencyError as `encoders.find` does.
    """
    from freehold.train.encoders import find, load_encoder, load_tokenizer

    files = find(base)
    encoder = load_encoder(files, attention="eager").eval()
    tokenizer = load_tokenizer(files.folder)
    tokenizer.enable_truncation(LIKENESS_LENGTH)
    known: dict[str, Row] = {}

    def embed(texts: Sequence[str]) -> None:
        import torch

        from freehold.train.batches import pad_ids, plan

        ids = [np.array(e.ids, np.int32) for e in tokenizer.encode_batch(list(texts))]
        lengths = np.array([len(one) for one in ids], np.int64)
        with torch.inference_mode():
            for batch in plan(lengths, BATCH_TOKENS):
                tokens, mask = pad_ids(ids, batch, 0)
                hidden = encoder(input_ids=tokens, attention_mask=mask).last_hidden_state
                kept = torch.ones(tokens.shape) if mask is None else mask.float()
                mean = (hidden * kept[..., None]).sum(1) / kept.sum(1, keepdim=True)
                for number, row in zip(batch, mean.double().numpy(), strict=True):
                    known[texts[number]] = row / np.linalg.norm(row)

    def compare(left: Sequence[str], right: Sequence[str]) -> Row:
        if new := [text for text in dict.fromkeys([*left, *right]) if text not in known]:
            embed(new)
        cosines: Row = np.array([known[a] @ known[b] for a, b in zip(left, right, strict=True)])
        return cosines

    return compare
