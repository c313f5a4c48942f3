"""Adversarial objectives: what they move, by how much, and what they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from freehold.errors import TrainError
from freehold.tasks.registry import task_of
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.adversarial import Ascent, FreeLB, RDrop, objective_of
from freehold.train.copies import WorstCopies
from freehold.train.encoders import find
from freehold.train.finetune import fit
from freehold.train.objective import Batch, Plain, forward, loss_of
from freehold.train.recipe import Recipe
from freehold.train.run import Run, prepare

METHODS = ("fgm", "pgd", "freelb", "rdrop", "copies")


def _run(train: Dataset, dev: Dataset, recipe: Recipe, out: Path, **knobs: Any) -> Run:
    knobs = {"dropout": 0.0, "encoder_dropout": 0.0, "precision": "fp32", **knobs}
    recipe = replace(recipe, **knobs)
    machine = hardware.choose(recipe.precision)
    run = prepare(train, dev, recipe, machine, find(recipe.base), out)
    run.job.module.train()
    return run


def _batch(run: Run, numbers: list[int] | None = None) -> Batch:
    return run.job.material.batch(numbers or list(range(6)), run.job.hardware.device)


def _gradients(run: Run) -> dict[str, torch.Tensor]:
    found = {
        name: one.grad.clone()
        for name, one in run.job.module.named_parameters()
        if one.grad is not None
    }
    run.job.module.zero_grad()
    return found


class _Watch:
    """What is added to the word vectors in each forward pass."""

    def __init__(self, run: Run) -> None:
        embedding = run.job.module.encoder.get_input_embeddings()
        self.weight, self.added = embedding.weight, []
        norm = run.job.module.encoder.embeddings.LayerNorm
        norm.register_forward_pre_hook(
            lambda module, inputs: self.added.append(inputs[0].detach().clone())
        )


def test_the_shift_is_of_the_asked_length_and_spares_padding_and_special_tokens(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    run = _run(train_texts, dev_texts, recipe, tmp_path, adversarial="pgd", adversarial_size=0.4)
    batch = _batch(run)
    assert batch.mask is not None
    watch = _Watch(run)
    objective = run.job.objective
    assert isinstance(objective, Ascent)
    assert len(objective.special) >= 2  # [CLS] and [SEP], at least
    objective.gradients(run.job, batch)
    plain, *others = watch.added
    assert len(others) == 3
    special = torch.isin(batch.ids, torch.tensor(objective.special))
    free = batch.mask & ~special
    vectors = watch.weight[batch.ids] * free.unsqueeze(-1)
    radius = 0.4 * vectors.flatten(1).norm(dim=1)
    for there in others:
        shift = there - plain
        assert shift[~free].abs().max() < 1e-5
        assert (shift.flatten(1).norm(dim=1) <= radius * 1.001).all()
    torch.testing.assert_close(
        (others[-1] - plain).flatten(1).norm(dim=1), radius, rtol=1e-2, atol=1e-5
    )


@pytest.mark.parametrize("method", ["fgm", "pgd"])
def test_an_ascent_learns_from_a_batch_that_is_harder_than_the_plain_one(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path, method: str
) -> None:
    run = _run(train_texts, dev_texts, recipe, tmp_path, adversarial=method)
    batch = _batch(run)
    plain = Plain().gradients(run.job, batch)
    gradients = _gradients(run)
    mixed = run.job.objective.gradients(run.job, batch)
    assert mixed > plain  # half plain, half uphill of it
    changed = _gradients(run)
    assert gradients.keys() == changed.keys()
    assert any(not torch.allclose(gradients[name], changed[name]) for name in gradients)


def test_an_ascent_of_no_length_is_the_plain_loss(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    run = _run(train_texts, dev_texts, recipe, tmp_path)
    batch = _batch(run)
    plain = Plain().gradients(run.job, batch)
    expected = _gradients(run)
    for objective in (Ascent((), 1e-12, 3, 1.0), FreeLB((), 1e-12, 3)):
        torch.testing.assert_close(objective.gradients(run.job, batch), plain)
        found = _gradients(run)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-6)


def test_freelb_takes_as_many_passes_as_steps(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    run = _run(train_texts, dev_texts, recipe, tmp_path, adversarial="freelb", adversarial_steps=4)
    watch = _Watch(run)
    run.job.objective.gradients(run.job, _batch(run))
    assert len(watch.added) == 4


def test_the_divergence_of_rdrop_is_nothing_without_dropout_and_something_with_it(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    run = _run(train_texts, dev_texts, recipe, tmp_path)
    batch = _batch(run)
    plain = loss_of(run.job, batch, forward(run.job, batch)).detach()
    torch.testing.assert_close(RDrop(5.0, "label").gradients(run.job, batch), plain)
    _gradients(run)
    dropped = _run(train_texts, dev_texts, recipe, tmp_path, adversarial="rdrop")
    inside = {m.p for m in dropped.job.module.encoder.modules() if isinstance(m, torch.nn.Dropout)}
    assert inside == {0.1}  # as the recipe has none
    torch.manual_seed(0)
    lone = RDrop(0.0, "label").gradients(dropped.job, _batch(dropped))
    torch.manual_seed(0)
    assert RDrop(5.0, "label").gradients(dropped.job, _batch(dropped)) > lone


@pytest.mark.parametrize(
    ("task", "method"),
    [
        *(("texts", method) for method in METHODS),
        *(("sentences", method) for method in METHODS[2:4]),
    ],
)
def test_each_method_learns_each_task_in_bf16(
    recipe: Recipe, tmp_path: Path, method: str, task: str, request: pytest.FixtureRequest
) -> None:
    train = request.getfixturevalue(f"train_{task}")
    dev = request.getfixturevalue(f"dev_{task}")
    chosen = replace(
        recipe,
        adversarial=method,
        adversarial_steps=2,
        adversarial_size=0.1,
        precision="bf16",
        augment=0.25,
    )
    result = fit(train, dev, chosen, tmp_path / "model")
    assert result.score > 0.7
    assert result.examples == 8 * round(1.25 * len(train))


def test_of_the_copies_tried_the_hardest_of_each_text_is_learnt_from(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    run = _run(train_texts, dev_texts, recipe, tmp_path, adversarial="copies", adversarial_steps=3)
    objective = run.job.objective
    assert isinstance(objective, WorstCopies)
    assert len(objective.pool) == 6
    batch = _batch(run)

    def losses(ids: Any) -> list[float]:
        return [
            loss_of(run.job, one, forward(run.job, one)).item()
            for row in range(len(batch.numbers))
            for one in [replace(run.job.material, ids=ids).batch([row], batch.ids.device)]
        ]

    torch.manual_seed(1)
    tried = torch.randperm(6)[:3].tolist()
    each = [
        losses([copy.ids[number] for number in batch.numbers])
        for copy in (objective.pool[slot] for slot in tried)
    ]
    torch.manual_seed(1)
    expected = (sum(losses(run.job.material.ids)) + sum(map(max, zip(*each, strict=True)))) / 12
    assert objective.gradients(run.job, batch).item() == pytest.approx(expected, rel=1e-4)


def test_copies_of_tagged_words_are_refused(
    recipe: Recipe, train_sentences: Dataset, dev_sentences: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(TrainError, match="token-classification has none"):
        _run(train_sentences, dev_sentences, recipe, tmp_path, adversarial="copies")


def test_a_run_of_freelb_is_the_same_twice(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    chosen = replace(recipe, adversarial="freelb", augment=0.5, epochs=1)
    first, second = (fit(train_texts, dev_texts, chosen, tmp_path / name) for name in "ab")
    weights = [(one.path / "model.safetensors").read_bytes() for one in (first, second)]
    assert weights[0] == weights[1]


def test_rdrop_of_a_task_without_labels_is_refused() -> None:
    with pytest.raises(TrainError, match="regression has none"):
        objective_of(Recipe(adversarial="rdrop"), task_of("regression"), ())


def test_a_method_with_its_own_objective_takes_no_other(
    recipe: Recipe, train_texts: Dataset, dev_texts: Dataset, tmp_path: Path
) -> None:
    chosen = replace(recipe, adversarial="fgm")
    with pytest.raises(TrainError, match="an objective of its own"):
        fit(train_texts, dev_texts, chosen, tmp_path / "model", objective=Plain())
