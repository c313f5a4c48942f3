"""Distillation: a trained teacher and texts in, a small student's checkpoint out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from freehold.clock import SystemClock
from freehold.errors import TrainError
from freehold.tasks.types import Dataset
from freehold.train import hardware
from freehold.train.adapter import adapter_of
from freehold.train.checkpoint import LoadedModel, Meta, load
from freehold.train.distil.augment import stretched
from freehold.train.distil.layers import evenly, kept_layers
from freehold.train.distil.objective import Distillation, Weights
from freehold.train.distil.student import layers_of, write_student
from freehold.train.distil.teacher import Answers, Kept, Live, Spread, bytes_of, room
from freehold.train.encoders import OUR_PREFIX, EncoderFiles, find
from freehold.train.finetune import FitResult, fit
from freehold.train.heads.base import hidden_size
from freehold.train.loop import Job
from freehold.train.objective import Plain
from freehold.train.predict import logits_of
from freehold.train.progress import Progress
from freehold.train.recipe import LORA_FASTER, Recipe
from freehold.train.run import Run
from freehold.train.static import static_student
from freehold.train.vocabulary import shrink

__all__ = ["Distilled", "Student", "distil"]

Student = Literal["layers", "static"]

LEARNING_RATE = 5e-4
SEEN = 120_000  # examples that a student sees in all, each as often as it does …
EPOCHS = 6, 30  # … within these bounds
SAMPLE = 128  # examples that the spread of the teacher's vectors is taken over


@dataclass(frozen=True, slots=True)
class Distilled:
    fit: FitResult
    teacher_score: float  # on dev
    layers: tuple[int, ...]  # of the teacher, that the student started as; none of a static one
    unlabelled: int  # texts without labels that joined
    looked_at: int  # examples of dev
    seconds: float  # from start to end; of a resumed run also the steps taken before

    @property
    def retained(self) -> float:
        """The student's score as a share of the teacher's."""
        return self.fit.score / self.teacher_score if self.teacher_score else 0.0


def distil(
    teacher: Path,
    train: Dataset,
    dev: Dataset,
    recipe: Recipe,
    out: Path,
    *,
    layers: int | Sequence[int] = 3,
    student: Student = "layers",
    corpus: Sequence[Any] = (),
    augment: int = 0,
    weights: Weights | None = None,
    name: str = "",
    on_step: Callable[[str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] | None = None,
    hold: bool = False,
) -> Distilled:
    """Train a student of so many `layers` (or of these of the teacher's) to answer as `teacher`.

    The student starts as those layers, with the teacher's embeddings and head; a "static" one as a
    table of the teacher's vectors of single tokens, with a new head and nothing to match but
    answers. `corpus` are examples of the teacher's task without labels, `augment` the new texts
    made of each of train's; both are learnt from by the teacher's answers only. The recipe's
    `base` is not looked at; the checkpoint in `out` names `name` (the teacher's folder by default)
    in its place. Stopping, holding and going on are as in `fit`.

    Raises TrainError where the teacher is of another task, has other labels or too few layers, and
    what `fit` raises.
    """
    clock = SystemClock()
    started = clock.monotonic()
    step = on_step or (lambda _: None)
    weights = weights or Weights()
    model = load(teacher)
    _require_same(model, train, dev)
    files = find(str(teacher))
    kept = _kept(files, layers) if student == "layers" else ()
    if not kept and not weights.soft + weights.hard:
        raise TrainError(
            "A static student has no layers to match, and soft and hard are both 0.",
            hint="Give one of them a weight.",
        )
    if not kept and model.meta.casing:
        raise TrainError(
            "The teacher reads capitals, of which a static student knows nothing.",
            hint="Distil a student of layers, or train the teacher with --casing off.",
        )
    train, dev, corpus = _as_read(model.meta, train), _as_read(model.meta, dev), list(corpus)
    if not model.meta.lines:
        corpus = [_in_one_line(example) for example in corpus]
    extra = [*corpus, *stretched(train.examples, augment, recipe.seed)]
    if recipe.max_length < model.meta.max_length:
        step(
            f"max_length is {recipe.max_length}, so the student reads no more of a text, though "
            f"the teacher reads {model.meta.max_length} tokens"
        )
    step(f"the teacher answers {len(dev):,} dev examples")
    with hardware.settled(recipe.threads, recipe.seed):
        teacher_score = _score(model, dev)
    start = out.with_name(f".{out.name}.student")

    def prepared(run: Run, stopping: Callable[[], bool]) -> None:
        run.identity |= _identity(files, kept, weights, extra)
        _equip(run, model, kept, weights, step, stopping)

    try:
        if kept:
            begun = write_student(files, kept, start)
        else:
            step("the teacher's vectors of single tokens become a table")
            with hardware.settled(recipe.threads, recipe.seed):
                begun = static_student(files, start)
        before = clock.monotonic() - started
        result = fit(
            train,
            dev,
            suited(recipe, len(train) + len(extra), model.meta, student),
            out,
            on_progress=on_progress,
            resume=resume,
            should_stop=should_stop,
            hold=hold,
            objective=Plain(),  # until `prepared`; a recipe with an objective of its own is refused
            files=replace(begun, name=name or str(teacher)),
            labels=model.meta.labels,
            unlabelled=extra,
            prepared=prepared,
        )
    finally:
        shutil.rmtree(start, ignore_errors=True)
    return Distilled(result, teacher_score, kept, len(extra), len(dev), before + result.seconds)


def suited(recipe: Recipe, examples: int, teacher: Meta, student: Student) -> Recipe:
    """The recipe with what it leaves open as a student of layers wants it: more passes than labels
    would take, at a higher rate, and texts read as the teacher reads them."""
    recipe = replace(
        recipe,
        max_length=min(recipe.max_length, teacher.max_length),
        casing="on" if teacher.casing else "off",
    )
    if student == "static":  # has a choice of its own
        return recipe
    least, most = EPOCHS
    rate = LEARNING_RATE * (LORA_FASTER if recipe.lora_rank else 1)
    return replace(
        recipe,
        learning_rate=recipe.learning_rate or rate,
        epochs=recipe.epochs or max(least, min(most, round(SEEN / examples))),
    )


def _kept(files: EncoderFiles, layers: int | Sequence[int]) -> tuple[int, ...]:
    have = layers_of(files)
    return evenly(have, layers) if isinstance(layers, int) else kept_layers(have, layers)


def _equip(
    run: Run,
    model: LoadedModel,
    kept: tuple[int, ...],
    weights: Weights,
    step: Callable[[str], None],
    stopping: Callable[[], bool],
) -> None:
    """Give the run the teacher's head, and its answers to learn from."""
    job: Any = run.job
    teacher: Any = model.module
    if kept:
        last = {n: w for n, w in teacher.state_dict().items() if not n.startswith(OUR_PREFIX)}
        job.module.load_state_dict(last, strict=False)
    shrink(teacher.encoder, run.vocabulary.used.tolist(), job.material.pad)
    matched = kept if weights.hidden else ()
    live = Live(teacher.to(job.hardware.device), job.hardware, matched)
    some = np.random.default_rng(run.job.seed).permutation(len(job.material.targets))[:SAMPLE]
    spread = Spread.of(live(job.material.batch(some.tolist(), job.hardware.device)))
    answers = _answers(live, run.job, len(matched), teacher, step, stopping)
    layers = range(len(kept)) if matched else ()
    run.job = replace(
        run.job, objective=Distillation(answers, weights, layers=layers, spread=spread)
    )


def _answers(
    live: Live,
    job: Job,
    layers: int,
    teacher: Any,
    step: Callable[[str], None],
    stopping: Callable[[], bool],
) -> Answers:
    """Kept if they take no more than their share of the memory, else asked for in each step."""
    texts, tokens = len(job.material.ids), sum(map(len, job.material.ids))
    needed = bytes_of(tokens, layers, hidden_size(teacher.encoder))
    if needed > room():
        step(
            f"the teacher answers again in each step: its vectors of {texts:,} texts would take "
            f"{needed / 1e9:.1f} GB, and {room() / 1e9:.1f} may be taken"
        )
        return live
    step(f"the teacher answers {texts:,} texts once; kept in {needed / 1e6:,.0f} MB of memory")
    return Kept(live, job.material, job.hardware.device, lambda: not stopping())


def _score(model: LoadedModel, dev: Dataset) -> float:
    logits = logits_of(model, dev.examples)
    return adapter_of(model.meta.task).score(dev.examples, logits, model.meta.labels).value


def _as_read(teacher: Meta, data: Dataset) -> Dataset:
    """Without line breaks where the teacher has not learnt what they say."""
    if teacher.lines:
        return data
    return replace(data, examples=[_in_one_line(example) for example in data.examples])


def _in_one_line(example: Any) -> Any:
    return replace(example, breaks=()) if getattr(example, "breaks", ()) else example


def _require_same(model: LoadedModel, train: Dataset, dev: Dataset) -> None:
    """The data is of the teacher's task, and has no label that the teacher does not know."""
    task = model.meta.task
    for data in (train, dev):
        if data.task != task:
            raise TrainError(
                f"The teacher is for {task}, but {data.path} is for {data.task}.",
                hint="Give data of the teacher's task, or take another teacher.",
            )
    unknown = sorted(set(train.labels()) - set(model.meta.labels))
    if unknown:
        raise TrainError(
            f"{train.path} has {len(unknown)} label{'s' * (len(unknown) != 1)} that the teacher "
            f"does not know: {', '.join(unknown[:5])}{' …' * (len(unknown) > 5)}.",
            hint="Take them out, or train a teacher on this data first.",
        )


def _identity(
    files: EncoderFiles, kept: Sequence[int], weights: Weights, extra: Sequence[Any]
) -> dict[str, Any]:
    """What a resumed run has to have in common with the stopped one, beside what every run has."""
    texts = "\0".join(example.text for example in extra)
    return {
        "teacher": files.sha256,
        "layers": list(kept),
        "loss": asdict(weights),
        "unlabelled texts": [len(extra), hashlib.sha256(texts.encode()).hexdigest()],
    }
