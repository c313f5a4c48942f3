"""A pretraining run: it learns, it stops and goes on, what it leaves is a base to start from."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from little import dataset, texts
from safetensors.numpy import load_file

from freehold.errors import DataError, TrainError
from freehold.tasks.types import Dataset, Example
from freehold.train.encoders import find, load_decoder, load_encoder
from freehold.train.finetune import fit
from freehold.train.pretrain import run as running
from freehold.train.pretrain.corpus import Corpus, corpus_of, split_texts
from freehold.train.pretrain.knobs import ObjectiveName, Pretraining
from freehold.train.pretrain.mlm import HiddenWords
from freehold.train.pretrain.run import Pretrained, pretrain
from freehold.train.recipe import Recipe
from freehold.train.state import path_of
from freehold.train.static import static_student


def recipe_for(objective: ObjectiveName, base: Path, **knobs: object) -> Pretraining:
    chosen = {
        "steps": 30,
        "learning_rate": 3e-3,
        "batch_tokens": 256,
        "max_length": 32,
        "held_out": 0.2,
        "looks": 3,
        "threads": 1,
        "seed": 3,
        **knobs,
    }
    return Pretraining(objective=objective, base=str(base), **chosen)  # type: ignore[arg-type]


def pairs() -> Corpus:
    """Texts, each with the key word it is about."""
    data = texts(200, seed=6)
    keys = [Example(e.row, f"{e.label} please", None) for e in data.examples]
    return corpus_of(data, dataset(keys))


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked, None) is None or False


def same(one: Path, other: Path) -> bool:
    a, b = (load_file(folder / "model.safetensors") for folder in (one, other))
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def masked(corpus: Corpus, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    return pretrain(corpus, recipe_for("mlm", encoder), tmp_path_factory.mktemp("m") / "out")


def test_masked_lm_tells_held_out_words_better(masked: Pretrained, corpus: Corpus) -> None:
    assert masked.task == "masked-lm"
    assert masked.after is not None
    assert masked.head_loss is not None
    # A head of its own first, then the encoder with it.
    assert masked.after.loss < masked.head_loss < masked.before.loss
    assert masked.after.low < masked.after.value < masked.after.high < masked.before.value
    assert masked.after.n == masked.before.n
    assert (masked.steps, masked.planned, masked.rounds) == (30, 30, 4)
    assert masked.packed
    assert masked.texts < len(corpus)
    assert masked.tokens_per_second > 0
    meta = json.loads((masked.path / "freehold.json").read_text())
    assert meta["task"] == "masked-lm"
    assert meta["score"] == masked.after.value
    assert [file.name for file in masked.path.parent.iterdir()] == ["out"]


def test_the_encoder_is_only_read_while_a_new_head_learns(
    corpus: Corpus, encoder: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("mlm", encoder, steps=6, head_share=0.5, looks=1)
    out = tmp_path / "out"
    stopped = pretrain(corpus, recipe, out, should_stop=stop_after(4))
    assert (stopped.best_round, stopped.steps) == (1, 3)
    before = load_encoder(find(str(encoder)), attention="eager").state_dict()
    after = load_encoder(find(str(out)), attention="eager").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    done = pretrain(corpus, recipe, out, resume=True)
    assert (done.best_round, done.steps) == (2, 6)
    changed = load_encoder(find(str(out)), attention="eager").state_dict()
    assert not torch.equal(
        changed["encoder.layer.0.output.dense.weight"],
        before["encoder.layer.0.output.dense.weight"],
    )


def test_a_head_that_is_there_goes_on(masked: Pretrained, corpus: Corpus, tmp_path: Path) -> None:
    again = pretrain(corpus, recipe_for("mlm", masked.path, steps=3), tmp_path / "out")
    assert again.head_loss is None
    assert masked.after is not None
    assert again.before == masked.after


@pytest.mark.parametrize("kind", ["packed", "not packed"])
def test_causal_lm_lowers_the_perplexity(
    kind: str, corpus: Corpus, decoder: Path, tmp_path: Path
) -> None:
    recipe = recipe_for("clm", decoder, packing="on" if kind == "packed" else "off")
    done = pretrain(corpus, recipe, tmp_path / "out")
    assert done.task == "causal-lm"
    assert done.packed == (kind == "packed")
    assert done.score_name == "perplexity"
    assert done.after is not None
    # Before, the random model knows nothing of its vocabulary of 32.
    assert 25 < done.before.value < 40
    assert done.after.value < 0.7 * done.before.value
    # What is left is the model, head and all.
    again = pretrain(corpus, recipe_for("clm", done.path, steps=1), tmp_path / "again")
    assert again.before == done.after
    load_decoder(find(str(done.path)), attention="eager")


def test_the_loss_is_that_of_transformers(corpus: Corpus, decoder: Path, tmp_path: Path) -> None:
    done = pretrain(corpus, recipe_for("clm", decoder, steps=1), tmp_path / "out")
    model = load_decoder(find(str(decoder)), attention="eager").eval()
    from freehold.train.encoders import load_tokenizer

    tokenizer = load_tokenizer(decoder)
    _, held = split_texts(corpus, 0.2, 3)
    total = tokens = 0.0
    for number in held:
        ids = torch.tensor([[0, *tokenizer.encode(corpus.texts[number]).ids, 0]])
        with torch.inference_mode():
            loss = model(input_ids=ids, labels=ids).loss
        total += loss.item() * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    assert done.before.n == tokens
    assert done.before.loss == pytest.approx(total / tokens, rel=1e-4)


def test_simcse_runs_and_measures(corpus: Corpus, encoder: Path, tmp_path: Path) -> None:
    done = pretrain(corpus, recipe_for("simcse", encoder), tmp_path / "out")
    assert done.task == "sentence-embedding"
    assert done.score_name == "retrieval_accuracy"
    assert done.after is not None
    assert done.after.uniformity is not None
    assert done.before.uniformity is not None
    # Contrast spreads the texts: what it promises, whatever else it does.
    assert done.after.uniformity < done.before.uniformity


def test_pairs_find_each_other(encoder: Path, tmp_path: Path) -> None:
    done = pretrain(pairs(), recipe_for("pairs", encoder, steps=60), tmp_path / "out")
    assert done.after is not None
    assert done.after.value > done.before.high
    assert done.after.value > 0.9
    assert done.after.loss < done.before.loss


@pytest.mark.parametrize("objective", ["mlm", "simcse"])
@pytest.mark.parametrize("steps", [2, 17])
def test_a_stopped_run_goes_on_to_the_same_weights(
    objective: ObjectiveName,
    steps: int,
    corpus: Corpus,
    encoder: Path,
    masked: Pretrained,
    tmp_path: Path,
) -> None:
    recipe = recipe_for(objective, encoder)
    whole = masked if objective == "mlm" else pretrain(corpus, recipe, tmp_path / "whole")
    out = tmp_path / "model"
    first = pretrain(corpus, recipe, out, should_stop=stop_after(steps))
    assert first.interrupted
    assert first.after is None
    assert path_of(out).exists()
    assert out.exists() == (first.best_round > 0)
    rest = pretrain(corpus, recipe, out, resume=True)
    assert not rest.interrupted
    assert rest.after == whole.after
    assert rest.head_loss == whole.head_loss
    assert same(out, whole.path)
    assert not path_of(out).exists()


def test_another_run_is_not_gone_on_with(corpus: Corpus, encoder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(TrainError, match="no stopped run"):
        pretrain(corpus, recipe_for("mlm", encoder), out, resume=True)
    pretrain(corpus, recipe_for("mlm", encoder), out, should_stop=stop_after(2))
    with pytest.raises(TrainError, match="had another steps"):
        pretrain(corpus, recipe_for("mlm", encoder, steps=31), out, resume=True)
    with pytest.raises(TrainError, match="had another objective"):
        pretrain(corpus, recipe_for("simcse", encoder), out, resume=True)


def test_minutes_become_steps(
    corpus: Corpus, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running._Run, "_seconds_a_step", lambda run: 0.5)
    recipe = recipe_for("mlm", encoder, steps=None, minutes=0.1)
    out = tmp_path / "out"
    stopped = pretrain(corpus, recipe, out, should_stop=stop_after(3))
    assert stopped.planned == 12
    # A resumed run keeps to what was reckoned first.
    monkeypatch.setattr(running._Run, "_seconds_a_step", lambda run: 0.01)
    assert pretrain(corpus, recipe, out, resume=True).steps == 12


def test_timing_leaves_no_trace(corpus: Corpus, encoder: Path, tmp_path: Path) -> None:
    timed = pretrain(
        corpus, recipe_for("mlm", encoder, steps=None, minutes=1e-9), tmp_path / "timed"
    )
    plain = pretrain(corpus, recipe_for("mlm", encoder, steps=1), tmp_path / "plain")
    assert timed.steps == 1
    assert same(timed.path, plain.path)


def test_training_starts_from_what_is_left(
    masked: Pretrained, train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    result = fit(
        train_texts,
        dev_texts,
        dataclasses.replace(recipe, base=str(masked.path)),
        tmp_path / "model",
    )
    assert result.score > 0.9


def test_a_loss_that_is_no_number_keeps_the_best(
    corpus: Corpus, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = HiddenWords.gradients
    steps = iter(range(100))

    def spoilt(self: HiddenWords, job: object, batch: object) -> torch.Tensor:
        loss = right(self, job, batch)  # type: ignore[arg-type]
        return loss * float("nan") if next(steps) >= 20 else loss

    monkeypatch.setattr(HiddenWords, "gradients", spoilt)
    with pytest.raises(TrainError, match=r"loss became nan in step 21 of 30.*are kept"):
        pretrain(corpus, recipe_for("mlm", encoder), tmp_path / "out")
    load_encoder(find(str(tmp_path / "out")), attention="eager")


def test_no_memory_left_is_a_sentence(
    corpus: Corpus, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HiddenWords, "gradients", lambda *_: torch.empty(1 << 60))
    with pytest.raises(TrainError, match="not enough memory for steps of 256 tokens"):
        pretrain(corpus, recipe_for("mlm", encoder), tmp_path / "out")


def test_held_out_texts_are_not_learnt_from(corpus: Corpus) -> None:
    kept, held = split_texts(corpus, 0.2, 0)
    assert sorted(kept + held) == list(range(len(corpus)))
    assert len(held) == round(0.2 * len(corpus))
    assert split_texts(corpus, 0.2, 0) == (kept, held)
    assert split_texts(corpus, 0.2, 1) != (kept, held)
    # Pairs of one text are on one side.
    twice = dataclasses.replace(corpus, texts=corpus.texts * 2, others=corpus.texts * 2)
    kept, held = split_texts(twice, 0.2, 0)
    assert not {twice.texts[n] for n in kept} & {twice.texts[n] for n in held}


def test_a_corpus_of_nothing_is_refused() -> None:
    blank = dataset([Example(n, "  ") for n in range(9)], "blank")
    with pytest.raises(DataError, match=r"blank.jsonl has no text in it"):
        corpus_of(blank)
    few = dataset([Example(n, f"text {n % 7}") for n in range(20)], "few")
    with pytest.raises(DataError, match="only 7 different texts"):
        corpus_of(few)
    with pytest.raises(DataError, match="no text in it"):
        corpus_of(dataset([], "none"))


def test_the_other_kind_of_checkpoint_is_refused(
    corpus: Corpus, encoder: Path, decoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match=r"is an encoder \(bert\)"):
        pretrain(corpus, recipe_for("clm", encoder), tmp_path / "out")
    for objective in ("mlm", "simcse"):
        with pytest.raises(TrainError, match=r"is a decoder \(gpt2\)"):
            pretrain(corpus, recipe_for(objective, decoder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_another_architecture_are_refused(
    corpus: Corpus, encoder: Path, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for file in encoder.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(TrainError, match="lack 16 tensors"):
        pretrain(corpus, recipe_for("mlm", base), tmp_path / "out")


def test_a_static_encoder_learns_from_pairs_only(
    corpus: Corpus, encoder: Path, tmp_path: Path
) -> None:
    static = static_student(find(str(encoder)), tmp_path / "static", dims=16).folder
    for objective in ("mlm", "simcse"):
        with pytest.raises(TrainError, match="looks each token up by itself"):
            pretrain(corpus, recipe_for(objective, static), tmp_path / "out")
    done = pretrain(pairs(), recipe_for("pairs", static, learning_rate=3e-2), tmp_path / "out")
    assert done.after is not None
    assert done.after.value > done.before.value


def test_a_run_does_not_write_over_its_base(corpus: Corpus, encoder: Path) -> None:
    with pytest.raises(TrainError, match="what the run starts from"):
        pretrain(corpus, recipe_for("mlm", encoder), encoder)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"steps": 3, "minutes": 1.0}, "steps and minutes are given"),
        ({"mask_share": 0.0}, "mask_share is 0.0"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"objective": "nsp"}, "objective is 'nsp'"),
        ({"objective": "simcse", "dropout": 0.0}, "simcse learns from the difference"),
        ({"max_length": 4}, "at least 8"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ],
)
def test_knobs_out_of_range_are_named(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(TrainError, match=message):
        Pretraining(**knobs)  # type: ignore[arg-type]
