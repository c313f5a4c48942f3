"""What asks a version's weights does so by the threads that [train] gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from freehold.app import App, open_app
from freehold.app.attack import attack
from freehold.app.learn import evaluate
from freehold.evaluate.attack.search import Limits
from freehold.project_file import load_project
from freehold.registry import Registry, Version


class _AskedError(Exception):
    """Ends the verb where its answers would be worked out."""


@pytest.mark.parametrize("verb", ["evaluate", "attack"])
def test_a_version_is_asked_by_the_threads_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    (tmp_path / "freehold.toml").write_text('[project]\nname = "shop"\n[train]\nthreads = 1\n')
    threads: list[int] = []

    def asked(*_: object, **__: object) -> Any:
        threads.append(torch.get_num_threads())
        raise _AskedError

    monkeypatch.setattr("freehold.train.predict.logits", asked)
    monkeypatch.setattr("freehold.evaluate.attack.report.attack", asked)
    monkeypatch.setattr("freehold.evaluate.attack.models.predictor", lambda _: (asked, []))
    monkeypatch.setattr("freehold.evaluate.attack.models.likeness", lambda: asked)
    monkeypatch.setattr(Registry, "checkpoint", lambda *_: tmp_path)
    version = cast(Version, SimpleNamespace(task="text-classification"))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with open_app(load_project(tmp_path / "freehold.toml")) as app, pytest.raises(_AskedError):
            _ask(app, verb, version)
    finally:
        torch.set_num_threads(before)
    assert threads == [1]


def _ask(app: App, verb: str, version: Version) -> None:
    data = cast(Any, SimpleNamespace(examples=[]))
    if verb == "evaluate":
        evaluate(app, version, data)
    else:
        attack(app, version, data, limits=Limits(2, 0.2, 0.8), kinds=("typo",))
