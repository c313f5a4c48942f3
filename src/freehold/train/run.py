"""One run's parts: encoder and data as numbers, and what is kept of them on disk."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from freehold.errors import TrainError
from freehold.store import files as disk
from freehold.tasks.base import Logits, Score
from freehold.tasks.types import Dataset, has_lines
from freehold.train import checkpoint, state
from freehold.train.adapter import Adapter, Rows, adapter_of
from freehold.train.adversarial import objective_of
from freehold.train.augment import augmented
from freehold.train.batches import IGNORED, Ids
from freehold.train.casing import config_with_casing, learns_shapes, marks_case, widen
from freehold.train.checkpoint import Meta
from freehold.train.copies import WorstCopies, copies_of
from freehold.train.encoders import (
    EncoderFiles,
    load_encoder,
    load_tokenizer,
    longest_input,
    special_ids,
)
from freehold.train.hardware import Hardware
from freehold.train.known import Heeding, Known
from freehold.train.loop import Job, Material
from freehold.train.objective import Objective
from freehold.train.optimizer import adamw, decaying
from freehold.train.portion import depths, freeze, inject, merged
from freehold.train.predict import answer
from freehold.train.recipe import Recipe
from freehold.train.state import Best, Position
from freehold.train.static import suited
from freehold.train.vocabulary import Vocabulary, embedding_name, shrink

__all__ = ["Run", "prepare"]


@dataclass(slots=True)
class Run:
    """What the loop works on, and dev to look at it with."""

    job: Job
    optimizer: torch.optim.Optimizer
    labels: list[str]
    dev: Dataset
    dev_rows: Rows  # by the numbers of the whole vocabulary
    vocabulary: Vocabulary
    meta: Meta  # but for the score and the epoch
    files: EncoderFiles
    out: Path
    identity: dict[str, Any]  # what a resumed run has to have in common with the stopped one
    lora_scale: float = 0.0  # of updates that are merged into the checkpoint; 0: there are none
    position: Position = field(default_factory=Position)
    best: Best = field(default_factory=Best)
    # What has to be done before dev is looked at, such as fitting a head in one go.
    before_look: Callable[[], None] = lambda: None
    keeps: bool = True  # whether this process writes; of a team only the first does

    def answers(self, *, go_on: Callable[[], bool] = lambda: True) -> list[Logits] | None:
        """Logits of dev by the weights of this moment; None if `go_on` said no in between."""
        found = answer(
            self.job.module,
            self.job.adapter,
            self.dev_rows.renumbered(self.vocabulary.renumber),
            self.labels,
            pad=self.job.material.pad,
            device=self.job.hardware.device,
            go_on=go_on,
        )
        return found if len(found) == len(self.dev) else None

    def score(self, logits: list[Logits]) -> Score:
        return self.job.adapter.score(self.dev.examples, logits, self.labels)

    def best_answers(self) -> list[Logits]:
        """Dev answered by the best weights in float32, as `predict.logits` will answer it."""
        self.job.module.load_state_dict(self.best.weights)
        found = self.answers()
        assert found is not None
        return found

    def keep_best(self, score: float) -> None:
        """Write the best epoch's weights as a checkpoint; nothing if no epoch has ended."""
        if self.keeps and self.best.epoch:
            name = embedding_name(self.job.module)
            weights = dict(self.best.weights)
            if self.lora_scale:
                weights = merged(weights, self.lora_scale)
            weights[name] = self.vocabulary.whole(weights[name])
            meta = replace(self.meta, score=score, epoch=self.best.epoch)
            config = config_with_casing(self.files.config()) if meta.casing else None
            checkpoint.save(self.out, weights, self.files.folder, meta, config=config)

    def save(self, score: float | None = None) -> None:
        """Write down everything that going on later takes, and the best so far."""
        if not self.keeps:
            return
        self.keep_best(self.best.score if score is None else score)
        file = state.path_of(self.out)
        notes = None if self.job.known is None else self.job.known.tensors()
        state.write(
            file, self.job.module, self.optimizer, self.position, self.best, self.identity, notes
        )

    def restore(self) -> None:
        """Go back to where `save` was called. Raises TrainError as `state.read` does."""
        file = state.path_of(self.out)
        self.position, self.best, notes = state.read(
            file, self.job.module, self.optimizer, self.identity
        )
        if self.job.known is not None:
            self.job.known.restore(notes)

    def forget(self) -> None:
        """Remove the state of a stopped run."""
        if self.keeps:
            disk.remove(state.path_of(self.out))

    def begin(self) -> None:
        """Remove what an earlier run left."""
        self.forget()
        if self.keeps:
            checkpoint.remove(self.out)


def prepare(
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    machine: Hardware,
    files: EncoderFiles,
    out: Path,
    objective: Objective | None = None,
    *,
    labels: Sequence[str] = (),
    unlabelled: Sequence[Any] = (),
) -> Run:
    """Tokenise, load the encoder, and settle what the recipe leaves open.

    `labels` are those of the training data unless given. `unlabelled` examples come after them in
    the material, without targets: an objective that makes use of them has to be handed in.
    """
    if objective is not None:
        _require_unhardened(recipe)
    adapter = adapter_of(train.task)
    _require_labels_for(recipe, adapter)
    labels = list(labels) or adapter.labels(train)
    tokenizer = load_tokenizer(files.folder)
    max_length = min(recipe.max_length, longest_input(files))
    examples = augmented(train, recipe.augment, recipe.seed).examples
    casing = marks_case(recipe, adapter.task, files, tokenizer)
    lines = has_lines([*examples, *unlabelled])
    encode = functools.partial(
        adapter.encode, tokenizer, max_length=max_length, casing=casing, lines=lines
    )
    rows, dev_rows, more = encode(examples), encode(dev.examples), encode(unlabelled)
    # Copies leave the epochs as they are: twice the texts are twice the steps.
    tokens = int(rows.lengths()[: rows.first[len(train)]].sum() + more.lengths().sum())
    settled = suited(recipe, files).resolved(train.task, tokens)
    assert settled.epochs is not None
    assert settled.learning_rate is not None
    assert settled.batch_tokens is not None

    encoder = load_encoder(files, attention=machine.attention)
    if casing:
        widen(encoder, files)
    _set_dropout(encoder, settled.encoder_dropout)
    pad = int(files.config().get("pad_token_id") or 0)
    pool = []
    if settled.adversarial == "copies":
        pool = copies_of(examples, adapter, settled.adversarial_steps, recipe.seed, encode)
    seen = [*rows.ids, *more.ids, *dev_rows.ids, *(ids for copy, _ in pool for ids in copy.ids)]
    used = np.unique(np.concatenate(seen)).tolist()
    vocabulary = shrink(encoder, used, pad)
    module = adapter.module(encoder, len(labels), recipe.dropout).to(machine.device)
    _choose_what_learns(module, settled)
    if casing and settled.lora_rank:
        learns_shapes(module.encoder)
    targets = adapter.targets(rows, examples, labels)
    module.settle(targets)
    material = _material(adapter, vocabulary, pad, rows, more, targets)
    weights = module.balance(targets, len(labels)) if recipe.class_weights == "balanced" else None
    copies = tuple(
        replace(
            material,
            ids=[vocabulary.renumber(ids) for ids in copy.ids],
            targets=adapter.targets(copy, changed, labels),
            types=copy.types,
        )
        for copy, changed in pool
    )
    special = vocabulary.rows(special_ids(tokenizer))
    objective, known = _learning(settled, adapter, material, special, copies, objective)
    job = Job(
        module=module,
        adapter=adapter,
        material=material,
        hardware=machine,
        epochs=settled.epochs,
        learning_rate=settled.learning_rate,
        batch_tokens=settled.batch_tokens,
        warmup=recipe.warmup,
        clip_norm=recipe.clip_norm,
        patience=recipe.patience,
        label_weights=None if weights is None else weights.to(machine.device),
        label_smoothing=recipe.label_smoothing,
        seed=recipe.seed,
        objective=objective,
        known=known,
    )
    meta = Meta(
        task=train.task,
        labels=tuple(labels),
        max_length=max_length,
        base=files.name,
        base_sha256=files.sha256,
        score_name=adapter.score_name,
        score=0.0,
        epoch=0,
        recipe=settled.document(),
        casing=casing,
        lines=lines,
    )
    return Run(
        job=job,
        optimizer=_optimizer(module, settled.learning_rate, recipe),
        labels=labels,
        dev=dev,
        dev_rows=dev_rows,
        vocabulary=vocabulary,
        meta=meta,
        files=files,
        out=out,
        identity=_identity(train, dev, settled, files, machine),
        lora_scale=recipe.lora_scale if recipe.lora_rank else 0.0,
    )


def _learning(
    recipe: Recipe,
    adapter: Adapter,
    material: Material,
    special: Sequence[int],
    copies: tuple[Material, ...],
    objective: Objective | None,
) -> tuple[Objective, Known | None]:
    """What each step learns from, and what is known where that is left out; `objective` where a
    method brings its own."""
    assert recipe.batch_tokens is not None
    if recipe.skip_known:
        _require_plain(recipe, adapter, objective)
        known = Known(material.lengths(), recipe.batch_tokens, recipe.seed, recipe.skip_known)
        return Heeding(known), known
    if copies:
        return WorstCopies(copies, recipe.adversarial_steps, recipe.adversarial_weight), None
    return objective or objective_of(recipe, adapter.task, special), None


def _require_unhardened(recipe: Recipe) -> None:
    """A method with its own objective knows its examples by number, and needs them as given."""
    for name, off in (("adversarial", "none"), ("augment", 0)):
        if (value := getattr(recipe, name)) != off:
            raise TrainError(
                f"This method has an objective of its own, so {name} cannot be {value}.",
                hint=f"Leave {name} at {off}, also under [train] of freehold.toml.",
            )


def _require_plain(recipe: Recipe, adapter: Adapter, objective: Objective | None) -> None:
    """What is known is told by the answers to the texts themselves, with labels."""
    why = ""
    if objective is not None or recipe.adversarial != "none":
        why = "this method learns from more than the texts as they are"
    elif not adapter.head.certain:
        why = f"{adapter.task.kind} has no probability of the right answer"
    if why:
        raise TrainError(
            f"skip_known cannot be {recipe.skip_known}: {why}.",
            hint="Leave skip_known at 0, also under [train] of freehold.toml.",
        )


def _require_labels_for(recipe: Recipe, adapter: Adapter) -> None:
    """What is done to labels cannot be done to numbers, places and vectors."""
    for name, off in (("class_weights", "none"), ("label_smoothing", 0.0)):
        if not adapter.head.labelled and (value := getattr(recipe, name)) != off:
            raise TrainError(
                f"{name} cannot be {value}: the answers of {adapter.task.kind} are no labels.",
                hint=f"Leave {name} at {off}, also under [train] of freehold.toml.",
            )


def _choose_what_learns(module: torch.nn.Module, recipe: Recipe) -> None:
    if recipe.lora_rank:
        inject(module, recipe)
    if recipe.freeze_layers:
        freeze(module, recipe.freeze_layers)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise TrainError(
                f"freeze_layers is {recipe.freeze_layers}, which leaves nothing to learn: the task "
                "has no weights but the encoder's.",
                hint="Freeze fewer layers.",
            )


def _optimizer(module: torch.nn.Module, rate: float, recipe: Recipe) -> torch.optim.AdamW:
    scales = None if recipe.layer_decay == 1 else decaying(depths(module)[0], recipe.layer_decay)
    return adamw(module, rate, recipe.weight_decay, scales)


def _set_dropout(encoder: torch.nn.Module, share: float) -> None:
    for part in encoder.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = share


def _material(
    adapter: Adapter,
    vocabulary: Vocabulary,
    pad: int,
    rows: Rows,
    more: Rows,
    targets: list[NDArray[Any]],
) -> Material:
    """The rows with their targets, then those of examples without labels."""
    parts = adapter.task.parts
    nothing = [_nothing(adapter, targets[0], ids) for ids in more.ids[::parts]]
    return Material(
        ids=[vocabulary.renumber(ids) for ids in [*rows.ids, *more.ids]],
        targets=[*targets, *nothing],
        pad=pad,
        types=None if rows.types is None and more.types is None else [*_types(rows), *_types(more)],
        parts=parts,
        unlabelled=len(nothing),
        begins=_begins(rows, more) if adapter.task.windows else None,
    )


def _begins(rows: Rows, more: Rows) -> NDArray[np.bool_]:
    found = np.zeros(len(rows.ids) + len(more.ids), np.bool_)
    found[rows.first[:-1]] = True
    found[more.first[:-1] + len(rows.ids)] = True
    return found


def _types(rows: Rows) -> list[Ids]:
    return [np.zeros_like(ids) for ids in rows.ids] if rows.types is None else rows.types


def _nothing(adapter: Adapter, like: NDArray[Any], ids: Ids) -> NDArray[Any]:
    """The target of a row without a label, of the shape that others have: one a token, or as many
    as all have."""
    shape = len(ids) if adapter.task.head == "tags" else like.shape
    return np.full(shape, IGNORED, like.dtype)


def _identity(
    train: Dataset, dev: Dataset, recipe: Recipe, files: EncoderFiles, machine: Hardware
) -> dict[str, Any]:
    knobs = {name: value for name, value in recipe.document().items() if name != "threads"}
    return {
        "training data": [train.sha256, len(train), train.columns],
        "dev data": [dev.sha256, len(dev), dev.columns],
        "encoder": files.sha256,
        **knobs,
        "precision": machine.precision,
    }
