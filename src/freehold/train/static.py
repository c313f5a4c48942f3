"""From a sentence encoder to a static one: a vector a token, made once, looked up ever after.

As Model2Vec does it (Tulkens and van Dongen 2024, "Model2Vec: Fast State-of-the-Art Static
Embeddings"): every token of the vocabulary runs through the encoder by itself, the vectors are cut
to their principal components, and frequent tokens are scaled down by smooth inverse frequency
(Arora et al. 2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", section 3).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.errors import TrainError
from freehold.store.files import replacing, write_text
from freehold.train.encoders import WEIGHTS, EncoderFiles, find, load_encoder, load_tokenizer
from freehold.train.lookup import STATIC, StaticConfig, is_lookup
from freehold.train.recipe import Recipe

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["DIMS", "static_student", "suited", "weights"]

DIMS = 256
SIF = 1e-3  # Arora et al. take 1e-4 to 1e-3
SPREAD = 0.3  # standard deviation of the table's figures; a new head then learns at once
LEARNING_RATE = 5e-3  # a table's rows are seen seldom and have to move far
EPOCHS = 12
_AT_ONCE = 512  # tokens that run through the encoder together

Floats = NDArray[np.float32]


def static_student(
    source: EncoderFiles,
    out: Path,
    *,
    dims: int = DIMS,
    on_progress: Callable[[int, int], None] | None = None,
) -> EncoderFiles:
    """Write a static encoder into the folder `out`, to be used as any base; returns its files.

    `dims` is the width of a vector, at most the source's own. How frequent a token is comes from
    its place in the vocabulary, which tokenizers sort by frequency. `on_progress` gets the tokens
    done and their number. A Ctrl-C leaves nothing.

    Raises TrainError for a source that is static itself, and what reading the source raises.
    """
    from safetensors.torch import save_file

    if is_lookup(source.config()):
        raise TrainError(
            f"{source.name} is a static encoder already.", hint="Name the one that it came from."
        )
    if dims < 1:
        raise TrainError(f"dims is {dims}, but has to be above 0.")
    tokenizer = load_tokenizer(source.folder)
    ordinary = _ordinary(tokenizer)
    alone = _vectors(source, tokenizer, ordinary, on_progress or (lambda done, of: None))
    vectors = _components(alone, dims) * weights(len(ordinary))[:, None]
    config = StaticConfig(
        vocab_size=max(tokenizer.get_vocab().values()) + 1,
        hidden_size=vectors.shape[1],
        pad_token_id=int(source.config().get("pad_token_id") or 0),
    )
    table = np.zeros((config.vocab_size, config.hidden_size), np.float32)
    table[ordinary] = vectors * (SPREAD / vectors.std())
    with replacing(out / WEIGHTS) as beside:
        save_file({"embedding.weight": torch.from_numpy(table)}, beside, metadata={"format": "pt"})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (source.folder / name).exists():
            write_text(out / name, (source.folder / name).read_text(encoding="utf-8"))
    write_text(out / "config.json", json.dumps(config.document(), indent=2) + "\n")
    return find(str(out))


def suited(recipe: Recipe, files: EncoderFiles) -> Recipe:
    """The recipe with the learning rate and the epochs of a static encoder, where it leaves them
    open and the encoder is one: those of a transformer would hardly move it."""
    if files.config().get("model_type") != STATIC:
        return recipe
    return replace(
        recipe,
        learning_rate=recipe.learning_rate or LEARNING_RATE,
        epochs=recipe.epochs or EPOCHS,
    )


def weights(count: int) -> Floats:
    """Smooth inverse frequency a / (a + p) of the tokens of a vocabulary, the most frequent first,
    p being in proportion to 1 / (rank + 2) (Zipf 1949).

    Frequencies counted in the texts that are learnt from were tried: on banking77, fpb50 and SICK
    they were worse by up to 14 points, since there the frequent words ask the question.
    """
    chances = 1 / (np.arange(count) + 2.0)
    found: Floats = (SIF / (SIF + chances / chances.sum())).astype(np.float32)
    return found


def _ordinary(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Ids of the tokens that stand for text, ascending; special ones keep a vector of zeros."""
    added = tokenizer.get_added_tokens_decoder()
    special = {number for number, token in added.items() if token.special}
    return np.array(sorted(set(tokenizer.get_vocab().values()) - special), np.int64)


def _vectors(
    source: EncoderFiles,
    tokenizer: Tokenizer,
    ordinary: NDArray[np.int64],
    on_progress: Callable[[int, int], None],
) -> Floats:
    """(tokens, width): the mean of the encoder's last layer over each token, special tokens around
    it included."""
    encoder: Any = load_encoder(source, attention="sdpa").eval()
    before, after = _around(tokenizer)
    rows = []
    with torch.inference_mode():
        for start in range(0, len(ordinary), _AT_ONCE):
            some = torch.from_numpy(ordinary[start : start + _AT_ONCE])
            ids = torch.stack(
                [
                    *(torch.full_like(some, number) for number in before),
                    some,
                    *(torch.full_like(some, number) for number in after),
                ],
                1,
            )
            found = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            rows.append(found.float().mean(1).numpy())
            on_progress(start + len(some), len(ordinary))
    return np.concatenate(rows)


def _around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    encoding = tokenizer.encode("a")
    inside = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    if not inside:  # not even a letter is known: a tokenizer of another script
        return [], []
    return encoding.ids[: inside[0]], encoding.ids[inside[-1] + 1 :]


def _components(vectors: Floats, dims: int) -> Floats:
    """The first `dims` principal components, centred; all there are where there are fewer."""
    from sklearn.decomposition import PCA

    count = min(dims, *vectors.shape)
    found: Floats = PCA(count, svd_solver="covariance_eigh").fit_transform(vectors)
    return found.astype(np.float32)
