"""What is said where Ray cannot be used, or a worker meets an error; the rest is in acceptance."""

from __future__ import annotations

import socket
import sys
import types
from pathlib import Path
from typing import Any, cast

import pytest

from freehold.errors import MissingDependencyError, TrainError
from freehold.tasks.types import Dataset
from freehold.train import runner_ray
from freehold.train.progress import Progress
from freehold.train.recipe import Recipe
from freehold.train.runner_ray import Failed, Worker
from freehold.train.search.parallel import Trier, ended
from freehold.train.search.trial import Material, Spec


def test_an_error_in_a_worker_is_one_sentence(
    encoder: Path, train_texts: Dataset, tmp_path: Path
) -> None:
    unusable = cast(Any, object())  # no encoder's files, so that the worker meets an AttributeError
    worker = Trier(Material(train_texts, train_texts, unusable), 1)
    spec = Spec(0, Recipe(base=str(encoder), epochs=1), tmp_path / "out")
    failed = worker.run(spec)
    assert isinstance(failed, Failed)
    assert worker.exchange(stop=False, heard=False) == [None]  # it is over
    with pytest.raises(TrainError) as caught:
        ended(failed, spec)
    assert "\n" not in caught.value.message
    assert "A worker failed: AttributeError" in caught.value.message


def test_a_worker_tells_in_order_and_hears_whether_to_stop() -> None:
    class Told(Worker):
        def run(self) -> int | Failed:
            def work() -> int:
                for step in range(3):
                    self._tell(Progress(1, 1, step, 3, 0.5, None, None, 1.0, 1.0))
                return 7 if self._should_stop() else 8

            return self._work(work)

    worker = Told(waits=True)
    assert worker.run() == 8
    news = worker.exchange(stop=True, heard=False)
    assert [at and at.step for at in news] == [0, 1, 2, None]
    assert worker._should_stop()


def test_without_ray_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="needs ray"), runner_ray.started("", 2):
        pass


@pytest.mark.parametrize(
    ("there", "free", "said"),
    [
        (1, 1, "Ray has 1 processors, but 2 workers need one each"),
        (8, 1, "Only 1 of Ray's 8 processors are free"),
        (None, 0, r"Ray at 127.0.0.1:\d+ cannot be used: no route"),
    ],
)
def test_a_ray_without_room_is_a_sentence_and_is_left(
    there: int | None, free: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[bool] = []

    def init(**options: Any) -> None:
        assert options["address"] == address
        assert "num_cpus" not in options  # of a cluster that is there already
        if there is None:
            raise ConnectionError("no route\nto it")

    fake: Any = types.ModuleType("ray")
    fake.init, fake.shutdown = init, lambda: left.append(True)
    fake.cluster_resources = lambda: {"CPU": there}
    fake.available_resources = lambda: {"CPU": free} if free else {}
    monkeypatch.setitem(sys.modules, "ray", fake)
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        address = f"127.0.0.1:{somebody.getsockname()[1]}"
        with pytest.raises(TrainError, match=said), runner_ray.started(address, 2):
            pass
    assert left == [True]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "[::ffff:127.0.0.1]:{}"])
def test_an_address_where_nobody_is_is_said_at_once(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", types.ModuleType("ray"))  # is not even asked
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = form.format(nobody.getsockname()[1])
    with (
        pytest.raises(TrainError, match=r"cannot be reached: [A-Z][^\[\n]+\.$") as caught,
        runner_ray.started(address, 2),
    ):
        pass
    assert "RAY_AUTH_TOKEN" in str(caught.value.hint)
