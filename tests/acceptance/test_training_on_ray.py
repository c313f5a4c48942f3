"""Training on a local Ray with two workers: what one process learns, by the verb too, and a worker
that is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from freehold.app import open_app
from freehold.data.read import read_dataset
from freehold.errors import TrainError
from freehold.project_file import load_project
from freehold.tasks.types import Dataset
from freehold.testing import run_verb, tiny_encoder
from freehold.train.finetune import fit
from freehold.train.parallel import fit_on_ray
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.state import path_of

EPOCHS = 6

pytestmark = pytest.mark.timeout(900)  # Ray's own start may take a minute on a busy machine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    encoder = tiny_encoder(tmp_path / "encoder")
    monkeypatch.delenv("FREEHOLD_DATABASE_URL", raising=False)
    temporary = tempfile.mkdtemp(prefix="t-")
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    rows = "".join(f"my bike {w},{w}\n" for w in ("lost", "refund", "repair", "price"))
    for name, times in (("train", 40), ("dev", 4)):
        (tmp_path / f"{name}.csv").write_text("text,label\n" + rows * times)
    (tmp_path / "freehold.toml").write_text(
        '[project]\nname = "bank"\n[data]\ntrain = "train.csv"\ndev = "dev.csv"\n'
        f'[train]\nbase = "{encoder}"\nepochs = {EPOCHS}\nthreads = 1\nlearning_rate = 0.005\n'
    )
    yield tmp_path
    assert list(Path(temporary).glob("fh-*")) == []
    shutil.rmtree(temporary)


def test_the_verb_registers_what_two_workers_learnt(project: Path) -> None:
    found = run_verb(project, "train", "--runner", "ray", "--workers", "2")
    assert found["metrics"]["accuracy"] == 1.0
    assert found["metrics"]["epochs"] == EPOCHS
    with open_app(load_project(project / "freehold.toml")) as app:
        version = app.version("bank@1")
        assert version.lineage["method"] == "fine-tune"
        assert version.lineage["workers"] == 2
        assert (app.registry.checkpoint(version) / "model.safetensors").is_file()
    assert list((project / ".freehold" / "runs").glob("bank*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc")
def test_two_workers_learn_what_one_process_does_also_after_one_was_killed(project: Path) -> None:
    train, dev = (_read(project / f"{name}.csv") for name in ("train", "dev"))
    recipe = Recipe(
        base=str(project / "encoder"), epochs=EPOCHS, learning_rate=2e-3, precision="fp32",
        dropout=0.0, threads=1, patience=EPOCHS,
    )  # fmt: skip
    one = fit(train, dev, recipe, project / "one")
    killed: list[int] = []

    def kill(progress: Progress) -> None:
        if progress.score is not None and not killed:
            killed.extend(_members())
            os.kill(max(killed), signal.SIGKILL)

    out = project / "two"
    long = replace(recipe, epochs=400, patience=400)
    with pytest.raises(TrainError, match=r"A Ray worker was lost \(\w+\)\. \w+") as caught:
        fit_on_ray(train, dev, long, out, workers=2, on_progress=kill)
    # Whether it was the first one, which writes, is not known.
    assert path_of(out).exists() == ("last saved" in caught.value.message)
    assert len(killed) == 2
    assert _members() == []
    two = fit_on_ray(train, dev, recipe, out, workers=2)
    assert two.score == one.score
    weights = load_file(one.path / "model.safetensors")
    for name, weight in load_file(two.path / "model.safetensors").items():
        np.testing.assert_allclose(weight, weights[name], rtol=1e-3, atol=1e-3)


def _read(path: Path) -> Dataset:
    return read_dataset(path, task="text-classification")


def _members() -> list[int]:
    """The processes of workers."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if file.read_bytes().startswith(b"ray::Member"):
                found.append(int(file.parent.name))
        except OSError:  # it has just ended
            continue
    return found
