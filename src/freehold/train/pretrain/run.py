"""A pretraining run: unlabelled texts and a checkpoint in, a checkpoint to start from out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.base import Score
from freehold.train import checkpoint, hardware, state
from freehold.train.adapter import Adapter
from freehold.train.checkpoint import Meta
from freehold.train.encoders import EncoderFiles, find
from freehold.train.hardware import Hardware
from freehold.train.loop import Job, Loop, Material
from freehold.train.optimizer import adamw
from freehold.train.pretrain.corpus import Corpus
from freehold.train.pretrain.heldout import HeldOut
from freehold.train.pretrain.knobs import TASKS, Pretraining
from freehold.train.pretrain.parts import Parts, parts_of
from freehold.train.pretrain.rounds import Rounds, ends_of, steps_of
from freehold.train.progress import Progress
from freehold.train.state import Best, Position
from freehold.train.stopping import Stop, stoppable

__all__ = ["Pretrained", "pretrain"]

HEAD_SCALE = 5.0  # of a new head's learning rate: it starts from nothing
TIMED = 4  # steps that are timed where minutes are given; the first of them only warms up


@dataclass(frozen=True, slots=True)
class Pretrained:
    path: Path  # the checkpoint folder
    task: str
    before: HeldOut  # the held-out texts by the checkpoint as it came
    after: HeldOut | None  # by the weights in `path`; None if interrupted
    head_loss: float | None  # held-out loss when a new head had learnt and the encoder not yet
    score_name: str  # "perplexity", or "retrieval_accuracy"
    texts: int  # learnt from
    packed: bool
    steps: int  # taken
    planned: int
    tokens: int  # seen, each as often as it was
    tokens_per_second: float  # over the training steps
    seconds: float  # from start to end; of a resumed run also the steps taken before
    interrupted: bool
    best_round: int  # that the weights are from; 0: no round had ended
    rounds: int
    precision: str
    threads: int
    base_sha256: str
    notes: tuple[str, ...]


def pretrain(
    corpus: Corpus,
    recipe: Pretraining,
    out: Path,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] | None = None,
    hold: bool = False,
    files: EncoderFiles | None = None,
) -> Pretrained:
    """Go on with the recipe's checkpoint on the corpus; the weights that do best on the texts kept
    aside end in `out`, as a checkpoint that `find` takes.

    Ctrl-C (in the main thread) or `should_stop` ends the run after the step under way: the best
    weights so far are in `out`, and the state for `resume=True` in a hidden file beside it. On a
    CPU, the same corpus, recipe, seed and threads give the same weights, also over a stop and a
    resume; but not with `minutes`, which asks the clock.

    Raises TrainError (a checkpoint that does not fit, a loss that is no number, no memory left,
    nothing to resume), DataError (too few texts), IntegrityError, MissingDependencyError.
    """
    clock = SystemClock()
    started, earlier = clock.monotonic(), 0.0
    recipe = recipe.resolved()
    files = files or find(recipe.base)
    if files.folder.resolve() == out.resolve():
        raise TrainError(
            f"{out} is what the run starts from; it cannot be where the result goes.",
            hint="Name another folder.",
        )
    machine = hardware.choose(recipe.precision)
    with (
        hardware.settled(recipe.threads, recipe.seed) as threads,
        hardware.within_memory(cast(int, recipe.batch_tokens)),
        stoppable(should_stop) as stop,
    ):
        run = _Run(corpus, recipe, files, machine, out)
        before = run.look()
        if resume:
            run.restore()
            earlier = run.position.seconds
        else:
            state.path_of(out).unlink(missing_ok=True)
            checkpoint.remove(out)
            run.settle(run.steps())
        try:
            finished = run.train(stop, on_progress or (lambda progress: None))
            after = run.best_look() if finished else None
        except BaseException:  # a loss that is no number, a second Ctrl-C: what was learnt stays
            run.keep_best()
            raise
        if finished and not hold:
            run.keep_best(after)
            state.path_of(out).unlink(missing_ok=True)
        else:
            run.save(after)
    here = run.position
    tokens = round(here.examples * float(run.parts.lengths().mean()))
    head_alone = run.head_steps > 0 and len(here.looks) > 0
    return Pretrained(
        path=out,
        task=TASKS[recipe.objective],
        before=before,
        after=after,
        head_loss=here.looks[0][1] if head_alone else None,
        score_name=run.score_name,
        texts=run.parts.texts,
        packed=run.parts.packed,
        steps=here.step,
        planned=run.planned,
        tokens=tokens,
        tokens_per_second=tokens / max(here.seconds, 1e-9),
        seconds=earlier + clock.monotonic() - started,
        interrupted=not finished,
        best_round=run.best.epoch,
        rounds=len(run.ends),
        precision=machine.precision,
        threads=threads,
        base_sha256=files.sha256,
        notes=tuple(run.parts.notes),
    )


@dataclass(slots=True)
class _Run:
    """What the loop works on; `settle` or `restore` says how long it is."""

    corpus: Corpus
    recipe: Pretraining
    files: EncoderFiles
    machine: Hardware
    out: Path
    parts: Parts = field(init=False)
    job: Job = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)
    position: Position = field(default_factory=Position)
    best: Best = field(default_factory=Best)
    planned: int = 0
    head_steps: int = 0
    ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.parts = parts_of(self.corpus, self.recipe, self.files, self.machine)
        self.parts.model.to(self.machine.device)
        layers = [m for m in self.parts.model.modules() if isinstance(m, torch.nn.Dropout)]
        for layer in layers:
            layer.p = cast(float, self.recipe.dropout)
        if self.recipe.objective == "simcse" and not layers:
            raise TrainError(
                f"{self.files.name} has no dropout, and simcse learns from nothing else.",
                hint="Take another --base, or --objective pairs.",
            )

    @property
    def language(self) -> bool:
        return self.recipe.objective in ("mlm", "clm")

    @property
    def score_name(self) -> str:
        return "perplexity" if self.language else "retrieval_accuracy"

    def steps(self) -> int:
        """How many steps the recipe's epochs or minutes are."""
        recipe = self.recipe
        if recipe.steps is not None:
            return recipe.steps
        lengths, budget = self.parts.lengths(), cast(int, recipe.batch_tokens)
        if recipe.epochs is not None:
            return steps_of(lengths, budget, recipe.epochs, seed=recipe.seed)
        return max(1, int(60 * cast(float, recipe.minutes) / self._seconds_a_step()))

    def settle(self, steps: int) -> None:
        """Make the job of so many steps, and the optimizer."""
        recipe, parts = self.recipe, self.parts
        self.planned = steps
        self.head_steps = round(steps * recipe.head_share) if parts.new_head else 0
        self.ends = ends_of(steps, self.head_steps, recipe.looks)
        self.job = self._job(
            Rounds(parts.lengths(), cast(int, recipe.batch_tokens), self.ends, seed=recipe.seed)
        )
        self.optimizer = self._optimizer()

    def train(self, stop: Stop, on_progress: Callable[[Progress], None]) -> bool:
        """Whether the loop came to its end."""

        def evaluate() -> Score | None:
            with self.machine.autocast():
                found = self._look(go_on=lambda: not stop())
            return None if found is None else self._score(found)

        def tell(progress: Progress) -> None:
            try:
                on_progress(progress)
            except KeyboardInterrupt:
                stop.asked = True

        loop = Loop(
            self.job,
            self.optimizer,
            self.position,
            self.best,
            evaluate=evaluate,
            save=self.save,
            stopping=stop,
            on_progress=tell,
        )
        return loop.run()

    def look(self) -> HeldOut:
        """The held-out texts by the weights of this moment, in float32."""
        found = self._look()
        assert found is not None
        return found

    def best_look(self) -> HeldOut:
        self.parts.model.load_state_dict(self.best.weights)
        return self.look()

    def keep_best(self, look: HeldOut | None = None) -> None:
        """Write the best round's weights as a checkpoint; nothing if no round has ended."""
        if not self.best.epoch:
            return
        score = math.exp(self.best.loss) if self.language else self.best.score
        meta = Meta(
            task=TASKS[self.recipe.objective],
            labels=(),
            max_length=self.parts.max_length,
            base=self.files.name,
            base_sha256=self.files.sha256,
            score_name=self.score_name,
            score=score if look is None else look.value,
            epoch=self.best.epoch,
            recipe=self.recipe.document(),
        )
        checkpoint.save(self.out, self.best.weights, self.files.folder, meta)

    def save(self, look: HeldOut | None = None) -> None:
        """Write down everything that going on later takes, and the best so far."""
        self.keep_best(look)
        file = state.path_of(self.out)
        identity = {**self._identity(), "planned": self.planned}
        state.write(file, self.parts.model, self.optimizer, self.position, self.best, identity)

    def restore(self) -> None:
        """Go back to where `save` was called. Raises TrainError as `state.read` does."""
        file = state.path_of(self.out)
        self.settle(int(state.identity_of(file).get("planned", 1)))
        self.position, self.best, _ = state.read(
            file, self.parts.model, self.optimizer, self._identity()
        )
        # The objective asks the position how far the run is.
        self.job = replace(self.job, objective=self.parts.objective(self.position, self.head_steps))

    def _look(self, *, go_on: Callable[[], bool] = lambda: True) -> HeldOut | None:
        model = self.parts.model
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                return self.parts.held.look(
                    model,
                    device=self.machine.device,
                    batch_tokens=cast(int, self.recipe.batch_tokens),
                    go_on=go_on,
                )
        finally:
            model.train(training)

    def _score(self, look: HeldOut) -> Score:
        """In 0..1: the mean chance of a told token (1 / perplexity), or the share found."""
        return Score(1 / look.value if self.language else look.value, look.loss)

    def _job(self, plan: Callable[[int], list[list[int]]]) -> Job:
        recipe, parts = self.recipe, self.parts
        return Job(
            module=parts.model,
            # There are no labels: neither the loop nor these objectives ask a task for anything.
            adapter=cast(Adapter, None),
            material=Material(parts.ids, [np.array(0, np.int64)] * len(parts.ids), parts.pad),
            hardware=self.machine,
            epochs=len(self.ends),
            learning_rate=cast(float, recipe.learning_rate),
            batch_tokens=cast(int, recipe.batch_tokens),
            warmup=recipe.warmup,
            clip_norm=recipe.clip_norm,
            patience=len(self.ends) + 1,  # all of it: a loss on unlabelled texts falls slowly
            label_weights=None,
            label_smoothing=0.0,
            seed=recipe.seed,
            objective=parts.objective(self.position, self.head_steps),
            plan=plan,
        )

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW; with a new head, the encoder comes in after it and the head learns faster."""
        rate, decay = cast(float, self.recipe.learning_rate), self.recipe.weight_decay
        model = cast(Any, self.parts.model)
        if not self.parts.new_head:
            return adamw(model, rate, decay)
        groups = [
            {**group, "start": self.head_steps}
            for group in adamw(model.encoder, rate, decay).param_groups
        ]
        groups += [
            {**group, "scale": HEAD_SCALE} for group in adamw(model.head, rate, decay).param_groups
        ]
        return torch.optim.AdamW(groups, lr=rate, fused=True)

    def _seconds_a_step(self) -> float:
        """By a few steps whose gradients are thrown away; torch's generator is put back."""
        clock, generator = SystemClock(), torch.get_rng_state()
        plan = Rounds(
            self.parts.lengths(),
            cast(int, self.recipe.batch_tokens),
            [TIMED],
            seed=self.recipe.seed,
        )
        job = self._job(plan)
        started = clock.monotonic()
        for number, batch in enumerate(plan(0)):
            if number == 1:
                started = clock.monotonic()
            job.objective.gradients(job, job.material.batch(batch, self.machine.device))
            self.parts.model.zero_grad(set_to_none=True)
        torch.set_rng_state(generator)
        return max(1e-6, (clock.monotonic() - started) / (TIMED - 1))

    def _identity(self) -> dict[str, Any]:
        """What a resumed run has to have in common with the stopped one."""
        knobs = {k: v for k, v in self.recipe.document().items() if k != "threads"}
        return {
            "corpus": [self.corpus.sha256, len(self.corpus)],
            "checkpoint": self.files.sha256,
            **knobs,
            "precision": self.machine.precision,
        }
