"""Packing: every document once and whole, and in its row what it would be alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from decoders import KINDS, tiny_decoder
from hypothesis import given
from hypothesis import strategies as st

from freehold.train.batches import pad_ids
from freehold.train.encoders import find, load_decoder, load_encoder
from freehold.train.pretrain.apart import first_place
from freehold.train.pretrain.clm import CausalModel
from freehold.train.pretrain.mlm import MaskedModel
from freehold.train.pretrain.packing import (
    Documents,
    attention_of,
    best_fit,
    pack,
    separate,
)

LENGTHS = st.lists(st.integers(1, 20), max_size=60)


def documents(lengths: list[int], *, highest: int = 30) -> Documents:
    random = np.random.default_rng(1)
    ids = [random.integers(6, highest, length).astype(np.int32) for length in lengths]
    return Documents(ids, [np.arange(length, dtype=np.int32) for length in lengths])


@given(LENGTHS)
def test_every_document_is_in_one_row_and_no_row_is_too_long(lengths: list[int]) -> None:
    rows = best_fit(lengths, 20)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= 20 for row in rows)
    # Of two rows, one is more than half full: else the second would not have been begun.
    assert sum(sum(lengths[n] for n in row) <= 10 for row in rows) <= 1


def test_a_document_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="21 tokens does not fit a row of 20"):
        best_fit([21], 20)


@given(LENGTHS)
def test_a_packed_row_says_where_each_token_is(lengths: list[int]) -> None:
    packed = pack(documents(lengths), 20, first=2)
    assert packed.places is not None
    assert packed.documents is not None
    for ids, words, places, numbers in zip(
        packed.ids, packed.words, packed.places, packed.documents, strict=True
    ):
        assert len(ids) == len(words) == len(places) == len(numbers)
        starts = np.flatnonzero(places == 2)
        assert np.array_equal(numbers, np.cumsum(np.isin(np.arange(len(ids)), starts)) - 1)
        # No word is shared by two documents.
        assert len(set(zip(words.tolist(), numbers.tolist(), strict=True))) == len(set(words))


def test_rows_of_one_document_need_no_other_mask() -> None:
    rows = separate(documents([3, 5]))
    _, plain = pad_ids(rows.ids, [0, 1], 0)
    assert attention_of(rows, [0, 1], plain, causal=False) == (plain, None)


def test_a_packed_encoder_says_what_it_says_of_each_document_alone(encoder: Path) -> None:
    model = MaskedModel(load_encoder(find(str(encoder)), attention="eager")).eval()
    apart = documents([5, 9, 3, 7, 2])
    packed = pack(apart, 16)
    numbers = list(range(len(packed)))
    ids, plain = pad_ids(packed.ids, numbers, 0)
    mask, places = attention_of(packed, numbers, plain, causal=False)
    with torch.inference_mode():
        together = model.hidden(ids, mask, places)
        for row, members in enumerate(best_fit(apart.lengths().tolist(), 16)):
            start = 0
            for number in members:
                alone = model.hidden(torch.from_numpy(apart.ids[number])[None].long(), None, None)
                end = start + len(apart.ids[number])
                torch.testing.assert_close(together[row, start:end], alone[0])
                start = end


@pytest.mark.parametrize("kind", KINDS)
def test_decoders_keep_documents_apart_too(kind: str, tmp_path: Path) -> None:
    model = CausalModel(
        load_decoder(find(str(tiny_decoder(tmp_path / kind, kind))), attention="eager")
    )

    def read(
        ids: torch.Tensor, mask: torch.Tensor | None, places: torch.Tensor | None
    ) -> torch.Tensor:
        return model(ids, mask, position_ids=places)

    assert first_place(read, model, documents([5, 8], highest=20).ids, pad=0, causal=True) == 0


def test_a_model_that_counts_from_its_padding_is_found_out(tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=40, pad_token_id=1,
    )  # fmt: skip
    roberta = RobertaModel(config, add_pooling_layer=False)
    # As wide as trained ones are, so that another position is another answer.
    torch.nn.init.normal_(roberta.embeddings.position_embeddings.weight, std=0.5)
    model = MaskedModel(roberta)
    ids = documents([5, 8]).ids
    assert first_place(model.hidden, model, ids, pad=1, causal=False) == 2


def test_a_model_that_looks_everywhere_is_not_packed_for() -> None:
    """One whose attention takes no notice of the mask."""

    class Everywhere(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(40, 8)

        def read(self, ids: torch.Tensor, mask: object, places: object) -> torch.Tensor:
            vectors: torch.Tensor = self.table(ids)
            return vectors + vectors.mean(1, keepdim=True)

    model = Everywhere()
    assert first_place(model.read, model, documents([5, 8]).ids, pad=0, causal=False) is None
