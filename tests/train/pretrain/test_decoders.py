"""Decoders are told from encoders, and each is refused where the other is needed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from decoders import KINDS, tiny_decoder

from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train.encoders import find, load_decoder, load_encoder, tied
from freehold.train.finetune import fit
from freehold.train.recipe import Recipe


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_loads_with_its_head(kind: str, tmp_path: Path) -> None:
    model = load_decoder(find(str(tiny_decoder(tmp_path / kind, kind))), attention="eager")
    assert tied(model) == (kind == "gpt2")
    logits = model.eval()(input_ids=torch.tensor([[2, 3, 4]])).logits
    assert logits.shape[:2] == (1, 3)
    assert logits.dtype == torch.float32


def test_training_refuses_a_decoder(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    base = str(tiny_decoder(tmp_path / "gpt"))
    with pytest.raises(TrainError, match=r"is a decoder \(gpt2\).*an encoder is needed") as caught:
        fit(train_texts, dev_texts, dataclasses.replace(recipe, base=base), tmp_path / "model")
    assert "minilm" in str(caught.value.hint)
    assert not (tmp_path / "model").exists()


def test_a_decoder_is_not_had_from_an_encoder(encoder: Path) -> None:
    with pytest.raises(TrainError, match=r"is an encoder \(bert\).*a decoder is needed"):
        load_decoder(find(str(encoder)), attention="eager")


def test_a_bert_that_says_it_decodes_is_a_decoder(encoder: Path, tmp_path: Path) -> None:
    for file in encoder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "is_decoder": True}))
    with pytest.raises(TrainError, match="is a decoder"):
        load_encoder(find(str(tmp_path)), attention="eager")
