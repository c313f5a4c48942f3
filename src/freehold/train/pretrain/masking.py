"""Which tokens are hidden from a masked language model, drawn anew for each batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from freehold.errors import TrainError

__all__ = ["Masking", "mask_token", "mask_tokens"]

AS_MASK, AS_OTHER = 0.8, 0.1  # of the chosen; the rest stays as it is


@dataclass(frozen=True, slots=True)
class Masking:
    """What is chosen, and what is put in its place."""

    share: float  # of the words
    mask: int  # the id of the tokenizer's mask token
    others: torch.Tensor  # (n,) int64, the ids a token may be changed to: all but special ones


def mask_tokens(
    ids: torch.Tensor,
    words: torch.Tensor,
    masking: Masking,
    *,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids to read, and where something is to be told: (batch, tokens) int64 and bool.

    Devlin et al. 2019 with the whole-word masking of their later release: each word is chosen with
    a chance of `share`; of its tokens 80 % become the mask, 10 % a random token, 10 % stay. A token
    whose word is -1 (marks, padding) is never chosen. At least one token is, if there is any, so
    that there always is a loss.
    """
    rows, length = ids.shape
    free = words >= 0
    per_word = torch.rand(rows, max(1, int(words.max()) + 1), generator=generator)
    chance = per_word.gather(1, words.clamp(min=0).long())
    chosen = (chance < masking.share) & free
    if not chosen.any() and free.any():
        first = int(chance.masked_fill(~free, 2.0).argmin())
        row, place = divmod(first, length)
        chosen[row] = (words[row] == words[row, place]) & free[row]
    fate = torch.rand(rows, length, generator=generator)
    drawn = torch.randint(len(masking.others), (rows, length), generator=generator)
    read = ids.clone()
    read[chosen & (fate < AS_MASK)] = masking.mask
    other = chosen & (fate >= AS_MASK) & (fate < AS_MASK + AS_OTHER)
    read[other] = masking.others[drawn[other]]
    return read, chosen


def mask_token(folder: Path, tokenizer: Tokenizer) -> int:
    """The id of the tokenizer's mask token. TrainError where it has none."""
    known = ("[MASK]", "<mask>", "<MASK>")
    for name in (*_named(folder), *known):
        number = tokenizer.token_to_id(name)
        if number is not None:
            return int(number)
    raise TrainError(
        f"The tokenizer in {folder} has no mask token, which masked language modelling needs.",
        hint="Choose another --objective (clm for a decoder, simcse), or another --base.",
    )


def _named(folder: Path) -> list[str]:
    """What tokenizer_config.json and special_tokens_map.json call the mask token."""
    names = []
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / file).exists():
            entry: Any = json.loads((folder / file).read_text(encoding="utf-8")).get("mask_token")
            name = entry.get("content") if isinstance(entry, dict) else entry
            if isinstance(name, str):
                names.append(name)
    return names
