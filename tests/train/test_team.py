"""Data-parallel training: the gradients of shares are those of the whole batch, and so the weights;
all stop together, and one that is gone is noticed."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch import distributed

from freehold.errors import TrainError
from freehold.tasks.types import Dataset, PairExample, QuestionExample
from freehold.train import hardware
from freehold.train.encoders import find
from freehold.train.finetune import FitResult, fit
from freehold.train.heads.base import head_of
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare
from freehold.train.state import path_of
from freehold.train.team import LostError, Share, Team

PLAIN = {"dropout": 0.0, "encoder_dropout": 0.0, "precision": "fp32"}
CLASSES = 3


# Heads: the mean over a batch from the means over its shares


def _targets(head: str, texts: int, chance: np.random.Generator) -> torch.Tensor:
    if head == "label":
        return torch.from_numpy(chance.integers(0, CLASSES, texts))
    if head == "labels":
        return torch.from_numpy(chance.integers(0, 2, (texts, CLASSES)).astype(np.float32))
    if head == "number":
        return torch.from_numpy(chance.normal(size=texts).astype(np.float32))
    if head == "span":
        return torch.from_numpy(chance.integers(0, 5, (texts, 2)))
    found = chance.integers(0, CLASSES, (texts, 5))
    found[chance.random((texts, 5)) < 0.4] = -100
    found[:, 0] = 0
    return torch.from_numpy(found)


@pytest.mark.parametrize("name", ["label", "labels", "number", "span", "tags"])
@settings(deadline=None, max_examples=30)
@given(st.integers(0, 999), st.integers(1, 5), st.integers(1, 5), st.booleans())
def test_the_mean_of_two_shares_is_their_means_weighted_by_what_counts(
    name: str, seed: int, first: int, second: int, weighted: bool
) -> None:
    chance = np.random.default_rng(seed)
    shape = {"span": (5, 2), "tags": (5, CLASSES), "number": (1,)}.get(name, (CLASSES,))
    logits = torch.from_numpy(chance.normal(size=(first + second, *shape)))
    targets = _targets(name, first + second, chance)
    weight = torch.tensor([0.3, 1.0, 2.5]) if weighted else None
    encoder: Any = torch.nn.Module()
    encoder.config = type("Config", (), {"hidden_size": 4})
    head = head_of(name)(encoder, CLASSES, 0.0)
    assert not head.compares

    def loss(part: slice) -> float:
        return head.loss(logits[part], targets[part], weight=weight, smoothing=0.1).item()

    parts = slice(0, first), slice(first, None)
    counts = [head.counted(targets[part], weight) for part in parts]
    mean = sum(loss(part) * count for part, count in zip(parts, counts, strict=True)) / sum(counts)
    assert mean == pytest.approx(loss(slice(None)), rel=1e-5)


# Gradients: shares in threads of this process


@pytest.fixture(scope="module")
def train_pairs(train_texts: Dataset) -> Dataset:
    """Two texts are alike if their labels are."""
    texts = train_texts.examples
    examples = [
        PairExample(
            one.row, one.text, other.text, score=float(one.target == other.target) + row % 3
        )
        for row, (one, other) in enumerate(zip(texts, texts[3:] + texts[:3], strict=True))
    ]
    return replace(train_texts, task="sentence-embedding", examples=examples)


@pytest.fixture(scope="module")
def train_questions(train_texts: Dataset) -> Dataset:
    """Which word comes last? Of every fourth text it is not said."""
    examples = []
    for one in train_texts.examples:
        last = one.text.split()[-1]
        answers = ((last, len(one.text) - len(last)),) if one.row % 4 else ()
        examples.append(QuestionExample(one.row, "hello", one.text, answers))
    return replace(train_texts, task="question-answering", examples=examples)


def _run(train: Dataset, dev: Dataset, recipe: Recipe, out: Path, **knobs: Any) -> Run:
    recipe = replace(recipe, **{**PLAIN, **knobs})
    machine = hardware.choose(recipe.precision)
    torch.manual_seed(7)
    run = prepare(train, dev, recipe, machine, find(recipe.base), out)
    run.job.module.register_parameter("unused", torch.nn.Parameter(torch.ones(2)))
    run.job.module.train()
    return run


def _gradients(run: Run) -> dict[str, torch.Tensor | None]:
    found = {}
    for name, parameter in run.job.module.named_parameters():
        found[name] = None if parameter.grad is None else parameter.grad.clone()
    run.job.module.zero_grad()
    return found


def _in_threads(size: int, work: Callable[[Team], Any]) -> list[Any]:
    store = distributed.HashStore()

    def one(rank: int) -> Any:
        return work(Team(store, rank, size))

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(one, range(size)))


@pytest.mark.parametrize(
    ("task", "knobs"),
    [
        ("texts", {}),
        ("texts", {"class_weights": "balanced", "label_smoothing": 0.1}),
        ("texts", {"adversarial": "fgm"}),
        ("texts", {"adversarial": "pgd", "freeze_layers": 1}),
        ("texts", {"lora_rank": 2}),
        ("sentences", {}),
        ("sentences", {"class_weights": "balanced", "adversarial": "fgm"}),
        ("questions", {}),
        ("questions", {"adversarial": "fgm"}),
        ("pairs", {}),
        ("pairs", {"adversarial": "pgd"}),
    ],
)
def test_shares_add_up_to_the_gradients_of_the_whole_batch(
    task: str, knobs: dict[str, Any], recipe: Recipe, tmp_path: Path, request: Any
) -> None:
    data = request.getfixturevalue(f"train_{task}")
    alone, *others = (_run(data, data, recipe, tmp_path / "out", **knobs) for _ in range(4))
    # Of two examples, three processes have one without any.
    for count, size in ((7, 2), (8, 3), (2, 3), (1, 2)):
        numbers = list(range(count))
        whole = alone.job.objective.gradients(
            alone.job, alone.job.material.batch(numbers, torch.device("cpu"))
        )
        expected = _gradients(alone)
        assert expected["unused"] is None

        def work(team: Team, numbers: list[int] = numbers) -> tuple[float, Any]:
            run = others[team.rank]
            share = Share(run, team, lambda: False)
            batch = run.job.material.batch(numbers, torch.device("cpu"))
            return share.gradients(share.job, batch).item(), _gradients(run)

        for loss, found in _in_threads(size, work):
            assert loss == pytest.approx(whole.item(), rel=1e-5)
            for name, gradient in expected.items():
                if gradient is None:
                    assert found[name] is None
                else:
                    torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=2e-6)


def test_all_begin_with_the_weights_of_the_first_and_hear_what_it_saw(
    train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    runs = [_run(train_texts, dev_texts, recipe, tmp_path / "out") for _ in range(2)]
    with torch.no_grad():
        for parameter in runs[1].job.module.parameters():
            parameter.add_(1)

    def work(team: Team) -> list[Any]:
        share = Share(runs[team.rank], team, lambda: team.rank == 1)
        run = runs[team.rank]
        seen = share.look(lambda: run.score(run.best_answers()) if run.best.epoch else None)
        run.best.epoch, run.best.weights = 1, run.job.module.state_dict()
        score = share.look(lambda: run.score(run.best_answers()))
        before = share.stopping()
        share.gradients(share.job, run.job.material.batch([0, 1], torch.device("cpu")))
        return [seen, score, before, share.stopping()]

    first, second = _in_threads(2, work)
    assert first == second
    assert first[0] is None
    assert first[1].loss > 0
    assert first[2:] == [False, True]  # the second one's wish is both's
    for one, other in zip(*(run.job.module.parameters() for run in runs), strict=True):
        assert torch.equal(one, other)


# Whole runs: processes


def _member(
    rank: int, size: int, store: str, args: tuple[Any, ...], options: dict[str, Any]
) -> FitResult | str:
    """One process of a team. `stop_at`: the step after which it asks for a stop; `die_at`: after
    which it is gone."""
    stop_at, die_at = options.pop("stop_at", None), options.pop("die_at", None)
    steps: list[int] = []

    def asked() -> bool:
        steps.append(1)
        if len(steps) == die_at:
            os._exit(1)
        return len(steps) == stop_at

    team = Team(distributed.FileStore(store, size), rank, size)
    try:
        return fit(*args, should_stop=asked, team=team, **options)
    except TrainError as error:
        return error.sentence()


Crew = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """Runs fit in two processes at once; `options` of each rank."""
    spawn = multiprocessing.get_context("spawn")
    pools = [ProcessPoolExecutor(1, mp_context=spawn) for _ in range(2)]

    def run(*args: Any, ranks: tuple[dict[str, Any], ...] = ({}, {}), **options: Any) -> list[Any]:
        store = str(tmp_path_factory.mktemp("store") / "file")
        futures: list[Future[Any]] = [
            pool.submit(_member, rank, 2, store, args, {**options, **ranks[rank]})
            for rank, pool in enumerate(pools)
        ]
        found = []
        for rank, future in enumerate(futures):
            try:
                found.append(future.result())
            except BrokenProcessPool as error:
                pools[rank].shutdown()
                pools[rank] = ProcessPoolExecutor(1, mp_context=spawn)
                found.append(error)
        return found

    yield run
    for pool in pools:
        pool.shutdown()


def _weights(out: Path) -> dict[str, np.ndarray]:
    return load_file(out / "model.safetensors")


def _same(one: Path, other: Path) -> bool:
    first, second = _weights(one), _weights(other)
    return all(np.array_equal(first[name], second[name]) for name in first | second)


def test_without_dropout_two_processes_learn_what_one_does(
    crew: Crew, train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    chosen = replace(recipe, **{**PLAIN, "epochs": 3, "learning_rate": 1e-3})
    alone = fit(train_texts, dev_texts, chosen, tmp_path / "alone")
    first, second = crew(train_texts, dev_texts, chosen, tmp_path / "both")
    assert first.score == alone.score
    assert (first.examples, first.epochs, first.best_epoch) == (
        alone.examples,
        alone.epochs,
        alone.best_epoch,
    )
    assert second.score == alone.score
    assert second.dev_logits is None  # the first looks at dev
    for row, other in zip(first.dev_logits, alone.dev_logits or [], strict=True):
        np.testing.assert_allclose(row, other, rtol=1e-4, atol=1e-5)
    names = ["alone", "both"]
    weights = _weights(tmp_path / "alone")
    for name, weight in _weights(tmp_path / "both").items():
        np.testing.assert_allclose(weight, weights[name], rtol=1e-3, atol=5e-4)
    metas = [
        json.loads((tmp_path / out / "freehold.json").read_text()) for out in ("alone", "both")
    ]
    assert metas[0] == metas[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stop_asked_of_one_ends_both_and_they_go_on_to_the_same_weights(
    rank: int,
    crew: Crew,
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    """With dropout: each process draws what it would have drawn."""
    chosen = replace(recipe, epochs=3, adversarial="freelb", adversarial_steps=2)
    whole, _ = crew(train_texts, dev_texts, chosen, tmp_path / "whole")
    ranks = tuple({"stop_at": 15} if one == rank else {} for one in range(2))
    out = tmp_path / "parts"
    stopped = crew(train_texts, dev_texts, chosen, out, ranks=ranks)
    assert all(result.interrupted for result in stopped)
    assert stopped[0].examples == stopped[1].examples
    assert 0 < stopped[0].examples < whole.examples
    assert path_of(out).exists()
    rest, _ = crew(train_texts, dev_texts, chosen, out, resume=True)
    assert not rest.interrupted
    assert rest.score == whole.score
    assert _same(out, whole.path)


def test_what_one_of_two_processes_knows_both_leave_out(
    crew: Crew, train_texts: Dataset, dev_texts: Dataset, recipe: Recipe, tmp_path: Path
) -> None:
    chosen = replace(recipe, epochs=8, patience=99, skip_known=0.75)
    whole, other = crew(train_texts, dev_texts, chosen, tmp_path / "whole")
    assert whole.examples == other.examples < 0.9 * 8 * len(train_texts)
    assert whole.score == other.score > 0.9
    out = tmp_path / "parts"
    stopped = crew(train_texts, dev_texts, chosen, out, ranks=({}, {"stop_at": 60}))
    assert all(result.interrupted and result.epochs > 1 for result in stopped)
    rest, _ = crew(train_texts, dev_texts, chosen, out, resume=True)
    assert rest.examples == whole.examples
    assert _same(out, whole.path)


@pytest.mark.parametrize("rank", [0, 1])
def test_one_that_is_gone_is_a_sentence_and_the_run_goes_on_with_one_process(
    rank: int,
    crew: Crew,
    train_texts: Dataset,
    dev_texts: Dataset,
    recipe: Recipe,
    tmp_path: Path,
) -> None:
    chosen = replace(recipe, epochs=3)
    ranks = tuple({"die_at": 20} if one == rank else {} for one in range(2))
    out = tmp_path / "model"
    found = crew(train_texts, dev_texts, chosen, out, ranks=ranks)
    assert isinstance(found[rank], BrokenProcessPool)
    assert found[1 - rank] == "Another worker was lost. Go on with --resume."
    assert path_of(out).exists() == (rank == 1)  # the first one writes
    if rank == 1:
        done = fit(train_texts, dev_texts, chosen, out, resume=True)
        assert done.epochs == 3
        assert done.examples == 3 * len(train_texts)


def test_the_team_is_gone_before_the_first_step() -> None:
    store = distributed.HashStore()

    def work(rank: int) -> Team | None:
        team = Team(store, rank, 2)
        return team if rank else None

    with ThreadPoolExecutor(2) as threads:
        _, team = threads.map(work, range(2))
    assert team is not None
    with pytest.raises(LostError):
        team.add_up(torch.ones(3))
