"""The figures promised on public data, through the command line as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def _freehold(folder: Path, *words: str) -> Any:
    """Run a verb with --json in a project folder; progress goes to the terminal."""
    done = subprocess.run(
        [sys.executable, "-m", "freehold", *words, "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        env={**os.environ, "FREEHOLD_DATABASE_URL": ""},
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("data", "template", "metric", "bar"),
    [
        ("banking77", "classification", "accuracy", 0.91),
        ("conll2003", "tagging", "entity_f1", 0.92),
    ],
)
def test_trains_to_the_promised_score_and_exports_without_loss(
    shared: Path, tmp_path: Path, data: str, template: str, metric: str, bar: float
) -> None:
    train, dev = (str(shared / "data" / data / f"{split}.jsonl") for split in ("train", "dev"))
    _freehold(tmp_path, "new", "shop", "--template", template)
    project = tmp_path / "shop"
    trained = _freehold(project, "train", "--data", train, "--dev", dev)
    evaluated = _freehold(project, "evaluate", "shop", "--data", dev)
    exported = _freehold(project, "export", "shop", "--data", dev)
    print(json.dumps({"trained": trained, "exported": exported}, indent=2))
    print(data, metric, evaluated[metric], evaluated["intervals"][metric])
    assert evaluated[metric] >= bar
    assert trained["metrics"][metric] == pytest.approx(evaluated[metric], abs=1e-6)
    assert exported["agreement"] >= 0.98
