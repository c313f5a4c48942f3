"""What is said where a search on Ray cannot be; the search itself is in tests/acceptance."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest

from freehold.errors import MissingDependencyError, TrainError
from freehold.tasks.types import Dataset
from freehold.train import runner_ray
from freehold.train.recipe import Recipe
from freehold.train.search.trial import Material, Spec

pytestmark = pytest.mark.slow


def test_an_error_in_a_worker_is_one_sentence(
    encoder: Path, train_texts: Dataset, tmp_path: Path
) -> None:
    unusable = cast(Any, object())  # no encoder's files, so that the worker meets an AttributeError
    worker = runner_ray._Worker(Material(train_texts, train_texts, unusable), 1)
    failed = worker.run(Spec(0, Recipe(base=str(encoder), epochs=1), tmp_path / "out"))
    assert isinstance(failed, runner_ray._Failed)

    class Ray:
        def get(self, ref: Any) -> Any:
            return ref

    class exceptions:  # noqa: N801 # as Ray names it
        RayError = OSError

    ray = Ray()
    cast(Any, ray).exceptions = exceptions
    with pytest.raises(TrainError) as caught:
        runner_ray._outcome(ray, failed, cast(Any, None))
    assert "\n" not in caught.value.message
    assert "A worker failed: AttributeError" in caught.value.message


def test_without_ray_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="needs ray"), runner_ray.started("", 2):
        pass
