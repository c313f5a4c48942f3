"""The real encoder on a set of sixty rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from little import texts

from freehold.train.finetune import fit
from freehold.train.predict import logits
from freehold.train.recipe import Recipe


@pytest.mark.slow
def test_minilm_learns_sixty_rows(tmp_path: Path) -> None:
    dev = texts(24, seed=2)
    result = fit(texts(60, seed=1), dev, Recipe(epochs=5, learning_rate=5e-4), tmp_path / "model")
    assert result.score > 0.9
    found = logits(result.path, dev.examples)
    answers = [result.labels[row.argmax()] for row in found]
    right = sum(a == e.label for a, e in zip(answers, dev.examples, strict=True))
    assert right / len(dev) == pytest.approx(result.score)
