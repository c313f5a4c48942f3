"""A frozen encoder with a linear layer: that the encoder stays, and that the layer is the best."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from little import dataset
from safetensors.numpy import load_file

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, Example
from freehold.testing import tiny_encoder
from freehold.train import closed
from freehold.train.frozen import Scaled, fit_frozen, logistic
from freehold.train.predict import logits
from freehold.train.recipe import Recipe


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough that a word shows in the mean of random vectors."""
    from little import WORDS

    return tiny_encoder(
        tmp_path_factory.mktemp("wide") / "it", vocab_words=WORDS, hidden=96, layers=1
    )


@pytest.mark.parametrize("kind", ["texts", "sentences"])
def test_the_encoder_stays_and_the_layer_learns(
    wide: Path, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    train, dev = (request.getfixturevalue(f"{split}_{kind}") for split in ("train", "dev"))
    told: list[tuple[int, int]] = []
    result = fit_frozen(
        train,
        dev,
        Recipe(base=str(wide), threads=1, precision="fp32"),
        tmp_path / "out",
        on_progress=lambda *now: told.append(now),
    )
    assert result.score > 0.6  # random vectors; chance is a quarter
    assert told[-1] == (len(train), len(train))
    before, after = (load_file(folder / "model.safetensors") for folder in (wide, result.path))
    kept = [name for name in after if name.startswith("encoder.")]
    assert kept
    for name in kept:
        np.testing.assert_array_equal(after[name], before[name.removeprefix("encoder.")])
    assert result.dev_logits is not None
    for here, there in zip(result.dev_logits, logits(result.path, dev.examples), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-4)


@pytest.mark.parametrize("labels", [2, 3])
def test_the_layer_s_probabilities_are_scikit_learn_s(labels: int) -> None:
    random = np.random.default_rng(labels)
    rows = random.normal(3, 2, (60, 5)).astype(np.float32)
    targets = (rows[:, 0] + random.normal(0, 1, 60) > 3).astype(np.int64)
    targets[:5] = labels - 1
    scaled = Scaled.of(rows)
    model = logistic(balanced=False)
    weights, biases = scaled.unscaled(*closed.solved(model, scaled.rows, targets, labels))
    answers = rows @ weights.T + biases
    chances = np.exp(answers - answers.max(1, keepdims=True))
    chances /= chances.sum(1, keepdims=True)
    np.testing.assert_allclose(chances, model.predict_proba(scaled.like(rows)), atol=1e-5)


def test_a_label_that_no_target_has_is_never_answered() -> None:
    rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    targets = (rows[:, 0] > 0).astype(np.int64) * 2
    weights, biases = closed.solved(logistic(balanced=False), rows, targets, 3)
    assert set((rows @ weights.T + biases).argmax(1).tolist()) == {0, 2}


def test_one_label_is_nothing_to_learn(wide: Path, dev_texts: Dataset, tmp_path: Path) -> None:
    one = dataset([Example(row, "lost bike", "lost") for row in range(4)])
    with pytest.raises(TrainError, match="1 different label"):
        fit_frozen(one, dev_texts, Recipe(base=str(wide)), tmp_path / "out")
    with pytest.raises(TrainError, match="same label"):
        closed.solved(logistic(balanced=False), np.zeros((3, 2)), np.zeros(3, np.int64), 2)
    assert not (tmp_path / "out").exists()
