"""What a run is put together from, by objective: model, rows, held-out texts, what a step does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.errors import DataError, TrainError
from freehold.train.batches import Ids
from freehold.train.encoders import (
    EncoderFiles,
    load_decoder,
    load_encoder,
    load_tokenizer,
    longest_input,
)
from freehold.train.hardware import Hardware
from freehold.train.lookup import is_lookup
from freehold.train.objective import Objective
from freehold.train.pretrain.apart import Reader, first_place
from freehold.train.pretrain.clm import CausalModel, CausalTexts, NextToken
from freehold.train.pretrain.contrastive import EmbeddingModel, Pairs, RetrievalTexts, TwoMasks
from freehold.train.pretrain.corpus import (
    Corpus,
    causal_documents,
    halves_of,
    masked_documents,
    split_texts,
)
from freehold.train.pretrain.heldout import HeldOut
from freehold.train.pretrain.knobs import Pretraining
from freehold.train.pretrain.masking import Masking, mask_token
from freehold.train.pretrain.mlm import HiddenWords, MaskedModel, MaskedTexts, new_bias, stored_head
from freehold.train.pretrain.packing import Documents, Rows, pack, separate
from freehold.train.state import Position
from freehold.train.tokens import tokenize

__all__ = ["Parts", "Texts", "parts_of"]


class Texts(Protocol):
    """Texts kept aside."""

    def look(
        self,
        model: Any,
        *,
        device: torch.device,
        batch_tokens: int,
        go_on: Callable[[], bool] = ...,
    ) -> HeldOut | None: ...


@dataclass(slots=True)
class Parts:
    """`objective` is made when the run's position is known: a new head is alone for some steps."""

    model: torch.nn.Module
    ids: list[Ids]  # of the rows that batches are made of
    pad: int
    held: Texts
    objective: Callable[[Position, int], Objective]
    texts: int  # learnt from
    max_length: int
    new_head: bool = False
    packed: bool = False
    notes: list[str] = field(default_factory=list)

    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(ids) for ids in self.ids], np.int64)


def parts_of(corpus: Corpus, recipe: Pretraining, files: EncoderFiles, machine: Hardware) -> Parts:
    """Load the checkpoint, tokenise, keep some texts aside. `recipe` is resolved.

    Raises TrainError (a checkpoint that does not fit the objective), DataError (texts too short).
    """
    if recipe.objective in ("mlm", "simcse") and is_lookup(files.config()):
        raise TrainError(
            f"{files.name} looks each token up by itself, so {recipe.objective} has nothing to "
            "teach it.",
            hint="Take a transformer such as minilm, or --objective pairs.",
        )
    if recipe.objective == "mlm":
        return _masked(corpus, recipe, files, machine)
    if recipe.objective == "clm":
        return _causal(corpus, recipe, files, machine)
    return _contrastive(corpus, recipe, files, machine)


def _masked(corpus: Corpus, recipe: Pretraining, files: EncoderFiles, machine: Hardware) -> Parts:
    tokenizer = load_tokenizer(files.folder)
    model = MaskedModel(load_encoder(files, attention=machine.attention))
    vocabulary = len(model.embeddings())
    special = set(tokenizer.get_added_tokens_decoder())
    masking = Masking(
        recipe.mask_share,
        mask_token(files.folder, tokenizer),
        torch.tensor([n for n in range(tokenizer.get_vocab_size()) if n not in special]),
    )
    new_head = not stored_head(files, model.head)
    max_length = min(recipe.max_length, longest_input(files))
    kept, held = (
        masked_documents(tokenizer, [corpus.texts[n] for n in numbers], max_length)
        for numbers in split_texts(corpus, recipe.held_out, recipe.seed)
    )
    pad = _pad(files)
    rows, notes = _rows(kept, held, recipe, model, model.hidden, max_length, pad, causal=False)
    if new_head:
        model.head.bias.data = new_bias(rows, vocabulary)
    return Parts(
        model=model,
        ids=rows.ids,
        pad=pad,
        held=MaskedTexts(separate(held), masking, pad, seed=recipe.seed),
        objective=lambda position, steps: HiddenWords(rows, masking, position, head_steps=steps),
        texts=len(kept),
        max_length=max_length,
        new_head=new_head,
        packed=rows.documents is not None,
        notes=notes,
    )


def _causal(corpus: Corpus, recipe: Pretraining, files: EncoderFiles, machine: Hardware) -> Parts:
    tokenizer = load_tokenizer(files.folder)
    model = CausalModel(load_decoder(files, attention=machine.attention))
    config = cast(Any, model.encoder).config
    end = _first(config.eos_token_id)
    begin = _first(config.bos_token_id)
    max_length = min(recipe.max_length, longest_input(files))
    kept, held = (
        causal_documents(
            tokenizer,
            [corpus.texts[n] for n in numbers],
            max_length,
            begin=end if begin is None else begin,
            end=end,
        )
        for numbers in split_texts(corpus, recipe.held_out, recipe.seed)
    )
    pad = _pad(files)

    def read(
        ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor | None
    ) -> torch.Tensor:
        logits: torch.Tensor = model(ids, mask, position_ids=places)
        return logits

    rows, notes = _rows(kept, held, recipe, model, read, max_length, pad, causal=True)
    return Parts(
        model=model,
        ids=rows.ids,
        pad=pad,
        held=CausalTexts(separate(held), pad),
        objective=lambda position, steps: NextToken(rows),
        texts=len(kept),
        max_length=max_length,
        packed=rows.documents is not None,
        notes=notes,
    )


def _contrastive(
    corpus: Corpus, recipe: Pretraining, files: EncoderFiles, machine: Hardware
) -> Parts:
    tokenizer = load_tokenizer(files.folder)
    model = EmbeddingModel(load_encoder(files, attention=machine.attention))
    max_length = min(recipe.max_length, longest_input(files))
    kept, held = split_texts(corpus, recipe.held_out, recipe.seed)
    aside = halves_of(tokenizer, corpus, held, max_length)
    if len(aside) < 2:
        raise DataError(
            f"{corpus.path} has too few texts of four tokens or more to keep some aside.",
            hint="Give more or longer texts.",
        )
    pad = _pad(files)
    objective: Objective
    if recipe.objective == "simcse":
        texts = [corpus.texts[n] for n in kept]
        ids = [np.array(e.ids, np.int32) for e in tokenize(tokenizer, texts, max_length)]
        objective = TwoMasks(recipe.temperature)
    else:
        pairs = halves_of(tokenizer, corpus, kept, max_length)
        ids = [np.concatenate(pair) for pair in zip(pairs.a, pairs.b, strict=True)]
        objective = Pairs(pairs, recipe.temperature)
    return Parts(
        model=model,
        ids=ids,
        pad=pad,
        held=RetrievalTexts(aside, pad, recipe.temperature),
        objective=lambda position, steps: objective,
        texts=len(kept),
        max_length=max_length,
    )


def _rows(
    kept: Documents,
    held: Documents,
    recipe: Pretraining,
    model: torch.nn.Module,
    read: Reader,
    max_length: int,
    pad: int,
    *,
    causal: bool,
) -> tuple[Rows, list[str]]:
    """Packed where that is wished and the model keeps documents apart, and what there is to say."""
    if len(kept) < 2 or not len(held):
        raise DataError(
            "Too few texts have a token that the checkpoint's tokenizer knows.",
            hint="Give more texts, or a checkpoint of their language.",
        )
    if recipe.packing == "off":
        return separate(kept), []
    first = first_place(read, model, kept.ids, pad=pad, causal=causal)
    if first is None and recipe.packing == "on":
        raise TrainError(
            "This model cannot keep documents of one row apart, so they cannot be packed.",
            hint="Leave out --packing on.",
        )
    if first is None:
        return separate(kept), [
            "This model cannot keep documents of one row apart, so each has a row of its own."
        ]
    return pack(kept, max_length, first=first), []


def _pad(files: EncoderFiles) -> int:
    return int(files.config().get("pad_token_id") or 0)


def _first(token: int | list[int] | None) -> int | None:
    """Some models have several marks of the end."""
    return token[0] if isinstance(token, list) else token
