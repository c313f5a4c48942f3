"""Encoders that look up instead of computing: a table of token vectors, and a bag of word pieces.

They stand where a transformer does (`encoder(input_ids, attention_mask).last_hidden_state`), so a
model on top of one trains, evaluates, exports and serves as any other. Their config.json carries a
`model_type` of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch

from freehold.errors import TrainError

__all__ = [
    "BAG",
    "BagConfig",
    "BagEncoder",
    "Found",
    "StaticConfig",
    "StaticEncoder",
    "build",
    "is_lookup",
    "pair_numbers",
]

STATIC, BAG = "freehold-static", "freehold-bag"
NOTHING = 0  # the row of what a bag does not know
# Odd numbers near 2^32 / golden ratio and 2^32 x 0.52: neighbouring ids fall far apart.
_FIRST, _SECOND = 0x9E3779B1, 0x85EBCA77


class Found(NamedTuple):
    """What an encoder gives, under transformers' name."""

    last_hidden_state: torch.Tensor  # (batch, tokens, hidden_size)


@dataclass(frozen=True, slots=True)
class StaticConfig:
    """A table of `vocab_size` token vectors, each `hidden_size` wide."""

    vocab_size: int
    hidden_size: int
    pad_token_id: int = 0

    def document(self) -> dict[str, Any]:
        """config.json."""
        return {"model_type": STATIC, **asdict(self)}


@dataclass(frozen=True, slots=True)
class BagConfig:
    """A bag of word pieces and of hashed pairs of neighbours: `features` of them are known, row 0
    is what is not; each contributes `hidden_size` (the number of labels) figures."""

    vocab_size: int
    hidden_size: int
    features: int  # rows of the table, that of the unknown included
    buckets: int  # that pairs are hashed into
    pad_token_id: int = 0

    def document(self) -> dict[str, Any]:
        """config.json."""
        return {"model_type": BAG, **asdict(self)}


class StaticEncoder(torch.nn.Module):
    """Each token has one vector, whatever stands beside it: no position, no context.

    Its mean over a text is a sentence vector (Arora et al. 2017, "A Simple but Tough-to-Beat
    Baseline for Sentence Embeddings"); training moves the table as fastText does (Joulin et al.
    2017, "Bag of Tricks for Efficient Text Classification").
    """

    def __init__(self, config: StaticConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = torch.nn.Embedding(
            config.vocab_size, config.hidden_size, config.pad_token_id
        )

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> Found:
        """(batch, tokens) ids, or their vectors in `inputs_embeds`; mask and segments change
        nothing here."""
        return Found(self.embedding(input_ids) if inputs_embeds is None else inputs_embeds)

    def get_input_embeddings(self) -> torch.nn.Embedding:
        return self.embedding

    def set_input_embeddings(self, table: torch.nn.Embedding) -> None:
        self.embedding = table


class BagEncoder(torch.nn.Module):
    """TF-IDF and a linear layer in one: the mean over the tokens is each label's logit but for its
    bias.

    A text is the set of its word pieces and of its pairs of neighbouring pieces (special tokens
    take part in pairs: they mark the beginning and the end). Feature f weighs idf_f, once however
    often it occurs; the whole is scaled to length 1; label l gets the sum of table[f, l] times the
    scaled weight. That is scikit-learn's TfidfVectorizer(binary=True) and a linear model, to within
    rounding.
    """

    row: torch.Tensor  # (vocab_size + buckets,) int64: pieces, then pairs -> rows of the table
    idf: torch.Tensor  # (features,); 0 for what is not known

    def __init__(self, config: BagConfig) -> None:
        super().__init__()
        self.config = config
        self.table = torch.nn.Embedding(config.features, config.hidden_size, NOTHING)
        rows = torch.full((config.vocab_size + config.buckets,), NOTHING)
        self.register_buffer("row", rows)
        self.register_buffer("idf", torch.zeros(config.features))

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> Found:
        """Contributions, (batch, tokens, labels): those of a piece and of the pair it begins."""
        kept = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        pieces = self.row[input_ids] * kept
        nexts = torch.cat([input_ids[:, 1:], input_ids[:, -1:]], 1)
        both = kept * torch.cat([kept[:, 1:], torch.zeros_like(kept[:, :1])], 1)
        pairs = pair_numbers(input_ids, nexts, self.config.buckets) + self.config.vocab_size
        pairs = self.row[pairs] * both

        first, second = self._weights(pieces), self._weights(pairs)
        square = (self.idf[pieces] * first + self.idf[pairs] * second).sum(1)
        # A text of nothing known has no length; what it is made of is 0 whatever it is divided by.
        norm = square.sqrt().clamp(min=1e-6)
        # The task takes the mean over the tokens; times their number it is the sum.
        scale = (kept.sum(1) / norm).unsqueeze(1).unsqueeze(2)
        found = self.table(pieces) * first.unsqueeze(2) + self.table(pairs) * second.unsqueeze(2)
        return Found(found * scale)

    def _weights(self, rows: torch.Tensor) -> torch.Tensor:
        """(batch, tokens): each occurrence's share of its feature's idf, so that a piece that is
        there twice counts once."""
        times = (rows.unsqueeze(2) == rows.unsqueeze(1)).to(self.idf.dtype).sum(2)
        return self.idf[rows] / times

    def get_input_embeddings(self) -> torch.nn.Embedding:
        raise TrainError(
            "A bag of word pieces is a finished model, not an encoder that can be trained further.",
            hint="Start from minilm or a static encoder instead.",
        )


def pair_numbers(first: Any, second: Any, buckets: int) -> Any:
    """The bucket of each pair of token ids, elementwise for int64 arrays or tensors."""
    return (first * _FIRST + second * _SECOND) % buckets


def is_lookup(config: Mapping[str, Any]) -> bool:
    """Whether a config.json describes one of these."""
    return config.get("model_type") in _KINDS


def build(config: Mapping[str, Any]) -> torch.nn.Module:
    """The module a config.json describes, for weights that are loaded into it afterwards.

    Raises TrainError where the file is not what Freehold writes.
    """
    kind, make = _KINDS[config["model_type"]]
    fields = {name: value for name, value in config.items() if name != "model_type"}
    try:
        settings = kind(**fields)
        if not all(type(value) is int and value >= 0 for value in asdict(settings).values()):
            raise ValueError("a size is no whole number")
        return make(settings)
    except (TypeError, ValueError) as error:
        raise TrainError(
            f"The config.json of the {config['model_type']} encoder is damaged: {error}.",
            hint="Make the encoder again.",
        ) from error


_KINDS: dict[str, tuple[type[Any], Callable[[Any], torch.nn.Module]]] = {
    STATIC: (StaticConfig, StaticEncoder),
    BAG: (BagConfig, BagEncoder),
}
