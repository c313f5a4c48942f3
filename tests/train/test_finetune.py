"""A run: it learns, it is the same again, it stops and goes on, it says what went wrong."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from little import dataset, sentences, texts
from safetensors.numpy import load_file

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, Example
from freehold.train import loop
from freehold.train.adapter import adapter_of
from freehold.train.encoders import load_tokenizer
from freehold.train.finetune import FitResult, fit
from freehold.train.heads.label import LabelHead
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.state import path_of

Weights = dict[str, np.ndarray]


def weights(out: Path) -> Weights:
    return load_file(out / "model.safetensors")


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[n], other[n]) for n in one)


@pytest.fixture(scope="module")
def whole(
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path_factory: pytest.TempPathFactory,
) -> FitResult:
    """A run that nobody stopped."""
    return fit(train_texts, dev_texts, recipe, tmp_path_factory.mktemp("whole") / "model")


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps + 1))
    return lambda: next(asked, None) is None or False


def test_examples_are_counted_not_their_windows(
    encoder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    train, dev = sentences(24, seed=1), sentences(8, seed=2)
    small = dataclasses.replace(recipe, epochs=2, max_length=8)
    rows = adapter_of(train.task).encode(load_tokenizer(encoder), train.examples, 8)
    assert len(rows.ids) > 24
    assert fit(train, dev, small, tmp_path / "model").examples == 2 * 24


def test_it_learns_and_leaves_a_checkpoint(whole: FitResult, encoder: Path) -> None:
    assert whole.score > 0.9
    assert whole.score_name == "accuracy"
    assert whole.labels == ["lost", "price", "refund", "repair"]
    assert whole.epochs == 8
    assert whole.examples == 8 * 96
    assert whole.examples_per_second > 0
    assert whole.precision in ("fp32", "bf16")
    assert not whole.interrupted
    names = {file.name for file in whole.path.iterdir()}
    assert names == {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "freehold.json",
    }
    meta = json.loads((whole.path / "freehold.json").read_text())
    assert meta["labels"] == whole.labels
    assert meta["base"] == str(encoder)
    assert meta["base_sha256"] == whole.base_sha256
    assert meta["score"] == whole.score
    assert meta["max_length"] == 64  # the encoder has no more positions
    assert meta["recipe"]["epochs"] == 8
    assert [file.name for file in whole.path.parent.iterdir()] == ["model"]


def test_it_learns_to_tag(
    train_sentences: Dataset, dev_sentences: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    result = fit(train_sentences, dev_sentences, recipe, tmp_path / "model")
    assert result.score_name == "entity_f1"
    assert result.score > 0.9
    assert result.labels == ["O", "B-LOC", "I-LOC", "B-PER"]


def test_the_same_run_gives_the_same_weights(
    whole: FitResult, train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    torch.rand(7)  # what happened before does not matter
    again = fit(train_texts, dev_texts, recipe, tmp_path / "model")
    assert again.score == whole.score
    assert same(weights(again.path), weights(whole.path))
    other = fit(
        train_texts, dev_texts, dataclasses.replace(recipe, seed=4, epochs=1), tmp_path / "other"
    )
    assert not same(weights(other.path), weights(whole.path))


@pytest.mark.parametrize("steps", [1, 20, 45])
def test_a_stopped_run_goes_on_to_the_same_weights(
    steps: int,
    whole: FitResult,
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    out = tmp_path / "model"
    first = fit(train_texts, dev_texts, recipe, out, should_stop=stop_after(steps))
    assert first.interrupted
    assert first.epochs < whole.epochs
    assert path_of(out).exists()
    assert out.exists() == (first.epochs > 0)
    rest = fit(train_texts, dev_texts, recipe, out, resume=True)
    assert not rest.interrupted
    assert rest.epochs == whole.epochs
    assert rest.examples == whole.examples
    assert rest.score == whole.score
    assert same(weights(out), weights(whole.path))
    assert not path_of(out).exists()


def test_a_run_may_be_stopped_many_times(
    whole: FitResult, train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    result = fit(train_texts, dev_texts, recipe, out, should_stop=stop_after(30))
    while result.interrupted:
        result = fit(train_texts, dev_texts, recipe, out, resume=True, should_stop=stop_after(30))
    assert same(weights(out), weights(whole.path))


@pytest.mark.parametrize("how", ["raised", "signal"])
def test_ctrl_c_keeps_the_best_so_far_and_goes_on(
    how: str,
    whole: FitResult,
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    seen: list[float] = []

    def interrupt(progress: Progress) -> None:
        if progress.score is not None:
            seen.append(progress.score)
        if len(seen) == 3:
            seen.append(math.nan)
            if how == "raised":
                raise KeyboardInterrupt
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "model"
    before = signal.getsignal(signal.SIGINT)
    result = fit(train_texts, dev_texts, recipe, out, on_progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert result.interrupted
    assert result.epochs == 3
    assert result.score == max(seen[:3])
    assert json.loads((out / "freehold.json").read_text())["epoch"] == result.best_epoch
    fit(train_texts, dev_texts, recipe, out, resume=True)
    assert same(weights(out), weights(whole.path))


def test_a_second_ctrl_c_acts_at_once(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    def insist(_: Progress) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the second one did nothing")

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner of tests may ignore it
    try:
        result = fit(train_texts, dev_texts, recipe, tmp_path / "model", on_progress=insist)
        assert result.interrupted
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_runs_beside_the_main_thread(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    results: list[FitResult] = []
    short = dataclasses.replace(recipe, epochs=1)
    thread = threading.Thread(
        target=lambda: results.append(fit(train_texts, dev_texts, short, tmp_path / "model"))
    )
    thread.start()
    thread.join()
    assert results[0].epochs == 1


def test_it_stops_early_when_dev_gets_no_better(
    train_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    # No weights answer these: each text has all labels.
    names = ("lost", "price", "refund", "repair")
    dev = dataset([Example(row, "hello", names[row % 4]) for row in range(8)])
    patient = dataclasses.replace(recipe, patience=2, epochs=30)
    result = fit(train_texts, dev, patient, tmp_path / "model")
    assert not result.interrupted
    assert result.epochs < 30
    assert result.epochs == result.best_epoch + 2


def _break_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    whole_loss = LabelHead.loss
    count = [0]

    def loss(self: LabelHead, *args: torch.Tensor, **kw: object) -> torch.Tensor:
        count[0] += 1
        found = whole_loss(self, *args, **kw)  # type: ignore[arg-type] # handed through
        return found * math.nan if count[0] > steps else found

    monkeypatch.setattr(LabelHead, "loss", loss)


def test_a_loss_that_is_no_number_keeps_the_best_so_far(
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _break_after(monkeypatch, 40)
    out = tmp_path / "model"
    with pytest.raises(TrainError, match=r"loss became nan in step 41.*are kept") as caught:
        fit(train_texts, dev_texts, recipe, out)
    assert "learning rate" in caught.value.sentence()
    assert all(np.isfinite(weight).all() for weight in weights(out).values())


def test_a_loss_that_is_no_number_at_once_keeps_nothing(
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _break_after(monkeypatch, 2)
    with pytest.raises(TrainError, match="nothing is kept"):
        fit(train_texts, dev_texts, recipe, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_new_run_forgets_the_stopped_one(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    fit(train_texts, dev_texts, recipe, out, should_stop=stop_after(40))
    assert (out / "freehold.json").exists()
    stopped = fit(train_texts, dev_texts, recipe, out, should_stop=lambda: True)
    assert stopped.epochs == 0
    assert not (out / "freehold.json").exists()


def test_only_the_same_run_is_gone_on_with(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    with pytest.raises(TrainError, match="no stopped run"):
        fit(train_texts, dev_texts, recipe, out, resume=True)
    fit(train_texts, dev_texts, recipe, out, should_stop=stop_after(2))
    kept = path_of(out).read_bytes()
    other = dataclasses.replace(recipe, learning_rate=1e-3)
    with pytest.raises(TrainError, match="learning_rate"):
        fit(train_texts, dev_texts, other, out, resume=True)
    with pytest.raises(TrainError, match="training data"):
        fit(texts(96, seed=9), dev_texts, recipe, out, resume=True)
    assert path_of(out).read_bytes() == kept
    path_of(out).write_bytes(kept[:100])
    with pytest.raises(TrainError, match="cannot be read"):
        fit(train_texts, dev_texts, recipe, out, resume=True)


def test_a_run_nobody_stopped_is_written_down_now_and_then(
    whole: FitResult,
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if killed: an error that nothing expects, after the state was saved."""
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    out = tmp_path / "model"

    def killed(progress: Progress) -> None:
        if progress.score is not None and progress.epoch == 4:
            raise SystemExit

    with pytest.raises(SystemExit):
        fit(train_texts, dev_texts, recipe, out, on_progress=killed)
    assert (out / "model.safetensors").exists()
    monkeypatch.undo()
    fit(train_texts, dev_texts, recipe, out, resume=True)
    assert same(weights(out), weights(whole.path))


def test_progress_goes_forward(
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "TELL_EVERY", 0.0)
    told: list[Progress] = []
    result = fit(train_texts, dev_texts, recipe, tmp_path / "model", on_progress=told.append)
    assert [p.step for p in told] == sorted(p.step for p in told)
    assert told[-1].step == told[-1].steps
    assert told[-1].seconds_left == 0
    ends = [p for p in told if p.score is not None]
    assert [p.epoch for p in ends] == list(range(1, 9))
    assert all(p.best == max(e.score for e in ends[: p.epoch]) for p in ends)
    assert ends[-1].loss < ends[0].loss
    assert len(told) == told[-1].steps + result.epochs


@pytest.mark.parametrize(
    "knobs",
    [
        {"class_weights": "balanced"},
        {"label_smoothing": 0.1},
        {"precision": "fp32"},
        {"precision": "bf16"},
        {"clip_norm": 0.0},
        {"warmup": 0.0},
        {"weight_decay": 0.0, "dropout": 0.0},
    ],
)
def test_each_knob_still_learns(
    knobs: dict[str, object],
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    changed = dataclasses.replace(recipe, **knobs)  # type: ignore[arg-type] # as listed above
    assert fit(train_texts, dev_texts, changed, tmp_path / "model").score > 0.85


def test_balanced_weights_count_each_label_alike() -> None:
    from freehold.train.heads.base import balanced

    weights = balanced([np.array(0)] * 6 + [np.array(1)] * 2, 2).tolist()
    assert weights == pytest.approx([8 / (2 * 6), 8 / (2 * 2)])


def test_torch_is_left_as_it_was(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(train_texts, dev_texts, dataclasses.replace(recipe, epochs=1), tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("train", "dev", "said"),
    [
        ([], [Example(1, "x", "a")], "no examples"),
        ([Example(1, "x", "a"), Example(2, "y", "b")], [], "no examples"),
        ([Example(1, "x", "a"), Example(7, "y", None)], [Example(1, "x", "a")], "row 7"),
        ([Example(1, "x", "a"), Example(2, "y", "a")], [Example(1, "x", "a")], "at least 2"),
    ],
)
def test_data_that_cannot_be_learnt_from_is_named(
    train: list[Example], dev: list[Example], said: str, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match=said):
        fit(dataset(train), dataset(dev), recipe, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_train_and_dev_are_of_one_task(
    train_texts: Dataset, dev_sentences: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="token-classification"):
        fit(train_texts, dev_sentences, recipe, tmp_path / "model")
