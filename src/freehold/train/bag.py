"""The lowest rung: TF-IDF over word pieces and their pairs with a linear layer, as a checkpoint.

Learnt by scikit-learn in seconds, then written down as a table (`lookup.BagEncoder`) that answers
the same without it: nothing is pickled, and it serves as every other model does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import closed, hardware
from freehold.train.batches import Ids
from freehold.train.encoders import EncoderFiles, find
from freehold.train.finetune import FitResult
from freehold.train.lookup import NOTHING, BagConfig, BagEncoder, pair_numbers
from freehold.train.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["BUCKETS", "features", "fit_bag", "special_ids"]

BUCKETS = 131_071  # a prime; of ten thousand English questions' 20,000 pairs 8 % share one
PENALTY = 0.5  # LinearSVC's C; on banking77 and fpb50 as good as any of 0.2 to 2
MANY = 5000  # texts from which a feature has to be in two of them: half the table, the same score


def fit_bag(
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    files: EncoderFiles | None = None,
) -> FitResult:
    """Write a bag of word pieces learnt from `train` as the checkpoint `out`; one label a text.

    The word pieces are those of the recipe's base, of which nothing else is used. Of the recipe
    also count max_length, class_weights and seed. The logits are the margins of linear support
    vector machines, one label against the rest (Fan et al. 2008, "LIBLINEAR"), made probabilities
    by the temperature that is fitted on dev. Raises TrainError as `fit` does.
    """
    from sklearn.svm import LinearSVC

    run = closed.prepare(train, dev, recipe, files or find(recipe.base))
    if train.task != "text-classification":
        raise TrainError(
            f"A bag of word pieces answers text-classification, not {train.task}.",
            hint="Train a static encoder or a transformer for it.",
        )
    with hardware.settled(recipe.threads, recipe.seed):
        vectorizer = tfidf(least=2 if len(train) >= MANY else 1)
        weighted = vectorizer.fit_transform(list(features(run.encoded.ids, run.tokenizer)))
        weights, biases = closed.solved(
            LinearSVC(
                C=PENALTY,
                class_weight="balanced" if recipe.class_weights == "balanced" else None,
                random_state=recipe.seed,
            ),
            weighted,
            np.array(run.targets),
            len(run.labels),
        )
        encoder = _encoder(run.tokenizer, vectorizer, weights)
        module: Any = run.adapter.module(encoder, len(run.labels), 0.0)
        with torch.no_grad():
            module.head.weight.copy_(torch.eye(len(run.labels)))
            module.head.bias.copy_(torch.from_numpy(biases))
        return closed.save(run, module, out, config=encoder.config.document())


def tfidf(least: int) -> Any:
    """scikit-learn's TF-IDF over the numbers of `features`, of those that are in `least` texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=list, binary=True, min_df=least)


def features(ids: Sequence[Ids], tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Of each text its word pieces, special tokens left out, and the numbers of its pairs, which
    begin above the vocabulary."""
    special = np.array(sorted(special_ids(tokenizer)), np.int64)
    pairs_from = _vocab_size(tokenizer)
    for text in ids:
        pieces = text.astype(np.int64)
        pairs = pair_numbers(pieces[:-1], pieces[1:], BUCKETS) + pairs_from
        yield pieces[~np.isin(pieces, special)].tolist() + pairs.tolist()


def special_ids(tokenizer: Tokenizer) -> set[int]:
    """The tokens that stand for no text."""
    added = tokenizer.get_added_tokens_decoder()
    return {number for number, token in added.items() if token.special}


def _vocab_size(tokenizer: Tokenizer) -> int:
    return max(tokenizer.get_vocab().values()) + 1


def _encoder(tokenizer: Tokenizer, vectorizer: Any, weights: closed.Floats) -> BagEncoder:
    """The table of contributions: weights of shape (labels, features) turned round, after a row of
    zeros for what is not known."""
    numbers = np.array(sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.get), np.int64)
    config = BagConfig(
        vocab_size=_vocab_size(tokenizer),
        hidden_size=len(weights),
        features=len(numbers) + 1,
        buckets=BUCKETS,
    )
    encoder = BagEncoder(config)
    rows = torch.full_like(encoder.row, NOTHING)
    rows[torch.from_numpy(numbers)] = torch.arange(1, len(numbers) + 1)
    table = np.concatenate([np.zeros((1, len(weights))), weights.T])
    idf = np.concatenate([[0.0], vectorizer.idf_])
    encoder.load_state_dict(
        {
            "row": rows,
            "idf": torch.from_numpy(idf.astype(np.float32)),
            "table.weight": torch.from_numpy(table.astype(np.float32)),
        }
    )
    return encoder
