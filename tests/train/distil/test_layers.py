"""Which layers a student keeps, where an encoder has them, and what is said where it has none."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from freehold.errors import TrainError
from freehold.testing import tiny_encoder
from freehold.train.distil.layers import (
    config_with,
    evenly,
    kept_layers,
    name_of_layers,
    tapped,
)
from freehold.train.encoders import build_encoder, find, load_encoder


def test_even_spacing_ends_with_the_last_layer() -> None:
    assert evenly(6, 3) == (1, 3, 5)
    assert evenly(12, 4) == (2, 5, 8, 11)
    assert evenly(6, 6) == (0, 1, 2, 3, 4, 5)
    assert evenly(6, 4) == (0, 2, 3, 5)
    assert evenly(5, 1) == (4,)


@given(st.integers(1, 48).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_any_choice_is_of_so_many_layers_in_order(numbers: tuple[int, int]) -> None:
    layers, wanted = numbers
    kept = evenly(layers, wanted)
    assert len(kept) == wanted
    assert kept == kept_layers(layers, kept)
    steps = {after - before for before, after in itertools.pairwise(kept)}
    assert len(steps) <= 2  # as even as whole numbers are


@pytest.mark.parametrize("wanted", [0, -1, 7])
def test_more_layers_than_there_are_is_a_sentence(wanted: int) -> None:
    with pytest.raises(TrainError, match=f"of {wanted} layers was asked for.*teacher has 6"):
        evenly(6, wanted)


@pytest.mark.parametrize("named", [(), (2, 1), (1, 1), (0, 6), (-1,)])
def test_layers_that_cannot_be_kept(named: tuple[int, ...]) -> None:
    with pytest.raises(TrainError, match="cannot be kept of a teacher that has 6"):
        kept_layers(6, named)


def test_a_config_for_fewer_layers_keeps_the_entries_of_those() -> None:
    config = {"n_layers": 4, "layer_types": ["a", "b", "c", "d"], "architectures": ["X"]}
    assert config_with(config, (1, 3)) == {
        "n_layers": 2,
        "layer_types": ["b", "d"],
        "architectures": ["X"],
    }


def test_a_config_without_layers_is_a_sentence() -> None:
    with pytest.raises(TrainError, match="no layers"):
        config_with({"hidden_size": 8}, (0,))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"model_type": "bert", "num_hidden_layers": 3}, "encoder.layer"),
        ({"model_type": "distilbert", "n_layers": 3}, "transformer.layer"),
        ({"model_type": "modernbert", "num_hidden_layers": 3}, "layers"),
    ],
)
def test_the_list_of_layers_is_found(config: dict[str, object], name: str) -> None:
    small = {"hidden_size": 8, "dim": 8, "num_attention_heads": 2, "n_heads": 2, "vocab_size": 20}
    small |= {"intermediate_size": 8, "hidden_dim": 8, "pad_token_id": 0}
    assert name_of_layers(build_encoder(small | config)) == name


def test_layers_that_are_one_cannot_be_left_out() -> None:
    config = {"model_type": "albert", "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 20}
    albert = build_encoder(config | {"intermediate_size": 8, "embedding_size": 8})
    with pytest.raises(TrainError, match="not one list"):
        name_of_layers(albert)


def test_what_layers_put_out_is_what_the_encoder_says(tmp_path: Path) -> None:
    files = find(str(tiny_encoder(tmp_path, layers=3)))
    encoder = load_encoder(files, attention="eager").eval()
    ids = torch.tensor([[2, 9, 8, 3]])
    with torch.inference_mode(), tapped(encoder, (0, 2)) as found:
        states = encoder(input_ids=ids, output_hidden_states=True).hidden_states
        encoder(input_ids=ids)
    assert len(found) == 4
    for taken, expected in zip(found, [states[1], states[3]] * 2, strict=True):
        assert torch.equal(taken, expected)
    with torch.inference_mode():
        encoder(input_ids=ids)
    assert len(found) == 4  # the taps are gone
