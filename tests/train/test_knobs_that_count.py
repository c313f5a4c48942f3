"""A knob does what is said of it in every method, or is refused with a sentence."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from little import dataset

from freehold.app import App
from freehold.app.versions import say_length
from freehold.errors import TrainError
from freehold.tasks.types import Dataset, PairExample
from freehold.train import checkpoint
from freehold.train.distil import distil as distilling
from freehold.train.encoders import find
from freehold.train.fewshot import fewshot
from freehold.train.finetune import fit
from freehold.train.frozen import fit_frozen
from freehold.train.recipe import LORA_FASTER, Recipe


def test_few_shot_learning_smooths_no_labels(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    smooth = dataclasses.replace(recipe, label_smoothing=0.1)
    with pytest.raises(TrainError, match=r"label_smoothing cannot be 0\.1: few-shot"):
        fewshot.fit_few(train_texts, dev_texts, smooth, tmp_path / "few")


def test_few_shot_learning_needs_something_of_the_encoder(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    frozen = dataclasses.replace(recipe, freeze_layers=2)
    with pytest.raises(TrainError, match="leaves nothing of the encoder to learn"):
        fewshot.fit_few(train_texts, dev_texts, frozen, tmp_path / "few")


def test_what_has_no_head_cannot_be_frozen_altogether(recipe: Recipe, tmp_path: Path) -> None:
    pairs = [PairExample(n, f"bike {n}", "gone", score=float(n)) for n in range(8)]
    data = dataclasses.replace(dataset(cast(Any, pairs)), task="sentence-embedding")
    frozen = dataclasses.replace(recipe, freeze_layers=2)
    with pytest.raises(TrainError, match="freeze_layers is 2, which leaves nothing to learn"):
        fit(data, data, frozen, tmp_path / "none")


def test_lora_learns_faster_in_every_method(
    train_texts: Dataset, dev_texts: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float | None] = []
    monkeypatch.setattr(
        fewshot, "fit", lambda train, dev, recipe, out, **_: rates.append(recipe.learning_rate)
    )
    for rank in (0, 4):
        fewshot.fit_few(train_texts, dev_texts, Recipe(lora_rank=rank), tmp_path / "few")
    teacher = cast(checkpoint.Meta, SimpleNamespace(max_length=64, casing=False))
    for rank in (0, 4):
        chosen = distilling.suited(Recipe(lora_rank=rank), 100, teacher, "layers")
        rates.append(chosen.learning_rate)
    assert rates[1] == fewshot.LEARNING_RATE * LORA_FASTER == cast(float, rates[0]) * LORA_FASTER
    assert rates[3] == distilling.LEARNING_RATE * LORA_FASTER
    assert rates[2] == distilling.LEARNING_RATE


def test_capitals_that_could_not_be_learnt_are_refused(
    train_sentences: Dataset, dev_sentences: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    frozen = dataclasses.replace(recipe, casing="on", freeze_layers=1)
    with pytest.raises(TrainError, match="casing is on, but freeze_layers keeps"):
        fit(train_sentences, dev_sentences, frozen, tmp_path / "tags")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_frozen_encoder_says_in_what_it_was_read(
    encoder: Path, dev_texts: Dataset, tmp_path: Path, precision: Any
) -> None:
    recipe = Recipe(base=str(encoder), precision=precision, threads=1)
    assert fit_frozen(dev_texts, dev_texts, recipe, tmp_path / "it").precision == precision


def test_a_teacher_answers_by_as_many_threads_as_are_given(
    encoder: Path, dev_texts: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(base=str(encoder), epochs=1, threads=1, batch_tokens=256, max_length=64)
    fit(dev_texts, dev_texts, recipe, tmp_path / "teacher")
    threads: list[int] = []
    told: list[str] = []

    def scored(*_: object) -> float:
        threads.append(torch.get_num_threads())
        return 1.0

    monkeypatch.setattr(distilling, "_score", scored)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        distilling.distil(
            tmp_path / "teacher", dev_texts, dev_texts,
            dataclasses.replace(recipe, max_length=32), tmp_path / "student",
            layers=1, on_step=told.append,
        )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    assert threads == [1]
    assert "max_length is 32" in told[0]


def test_fewer_positions_than_were_asked_for_are_said(encoder: Path) -> None:
    said: list[str] = []
    app = cast(App, SimpleNamespace(remark=said.append))
    say_length(app, find(str(encoder)), 64)
    assert said == []
    say_length(app, find(str(encoder)), 65)
    (sentence,) = said
    assert "64 tokens, so max_length is that and not 65." in sentence
