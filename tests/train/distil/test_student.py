"""A student's folder: the teacher's layers and embeddings, an encoder like any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from freehold.errors import TrainError
from freehold.testing import tiny_encoder
from freehold.train.distil.student import layers_of, write_student
from freehold.train.encoders import find, load_encoder


def test_its_layers_are_the_teachers(tmp_path: Path) -> None:
    teacher = find(str(tiny_encoder(tmp_path / "t", layers=4)))
    student = write_student(teacher, (1, 3), tmp_path / "s")
    assert layers_of(teacher) == 4
    assert layers_of(student) == 2
    whole = load_encoder(teacher, attention="eager").state_dict()
    small = load_encoder(student, attention="eager").state_dict()
    for place, number in enumerate((1, 3)):
        for part in ("attention.self.query.weight", "output.LayerNorm.bias", "output.dense.weight"):
            ours, theirs = f"encoder.layer.{place}.{part}", f"encoder.layer.{number}.{part}"
            assert torch.equal(small[ours], whole[theirs])
    words = "embeddings.word_embeddings.weight"
    assert torch.equal(small[words], whole[words])
    assert not any("layer.2" in name for name in small)


def test_all_layers_answer_as_the_teacher(tmp_path: Path) -> None:
    teacher = find(str(tiny_encoder(tmp_path / "t", layers=2)))
    student = write_student(teacher, (0, 1), tmp_path / "s")
    assert student.config() == teacher.config()
    ids = torch.tensor([[2, 7, 3]])
    with torch.inference_mode():
        ours, theirs = (
            load_encoder(files, attention="eager").eval()(input_ids=ids).last_hidden_state
            for files in (student, teacher)
        )
    assert torch.equal(ours, theirs)


def test_a_trained_teacher_gives_its_encoder(teacher: Path, tmp_path: Path) -> None:
    student = write_student(find(str(teacher)), (3,), tmp_path / "s")
    assert layers_of(student) == 1
    load_encoder(student, attention="eager")
    assert not (tmp_path / "s" / "freehold.json").exists()


def test_a_layer_that_is_made_differently_cannot_be_the_first(tmp_path: Path) -> None:
    from transformers import ModernBertConfig, ModernBertModel

    folder = tiny_encoder(tmp_path / "t")
    settings = ModernBertConfig(
        hidden_size=8, num_attention_heads=2, intermediate_size=8, num_hidden_layers=4,
        vocab_size=80, pad_token_id=0,
    )  # fmt: skip
    ModernBertModel(settings).save_pretrained(folder)
    teacher = find(str(folder))
    with pytest.raises(TrainError, match="do not make an encoder"):
        write_student(teacher, (1, 3), tmp_path / "s")
    student = write_student(teacher, (0, 3), tmp_path / "s")
    assert student.config()["layer_types"] == ["full_attention", "full_attention"]
