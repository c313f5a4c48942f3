"""`freehold distill`: a small student that answers as a trained version does."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from freehold.cli.common import SEED, Output, columns, project_of, require_effect, verb


class _Layers(click.ParamType[Any]):
    """`3`: so many; `0,2,5`: these of the teacher's, counted from 0."""

    name = "N or N,N,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> int | tuple[int, ...]:
        try:
            numbers = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is neither a number of layers nor a list of them.", param, ctx)
        return numbers[0] if len(numbers) == 1 else numbers


@click.command("distill")
@click.argument("teacher")
@click.option(
    "--layers", type=_Layers(), default="3", show_default=True,
    help="Layers of the student, evenly spaced among the teacher's; or which: 0,2,5.",
)  # fmt: skip
@click.option(
    "--student", type=click.Choice(["layers", "static"]), default="layers", show_default=True,
    help="What it is made of: the teacher's layers, or a table of one vector a token.",
)  # fmt: skip
@click.option(
    "--corpus", "corpora", type=click.Path(path_type=Path), multiple=True,
    help="Texts without labels that join; may be given more than once.",
)  # fmt: skip
@click.option(
    "--augment", type=click.IntRange(min=0), default=0, show_default=True,
    help="New texts to make of each training text, for the teacher to answer.",
)  # fmt: skip
@click.option("--data", "train_file", type=click.Path(path_type=Path), help="Labelled texts.")
@click.option(
    "--dev", "dev_file", type=click.Path(path_type=Path), help="Labelled texts kept aside."
)
@click.option("--name", help="The student's model name; the teacher's by default.")
@click.option("--temperature", type=float, help="What both models' logits are divided by.")
@click.option("--soft", type=float, help="Weight of the teacher's answers in the loss.")
@click.option("--hidden", type=float, help="Weight of the teacher's hidden states.")
@click.option("--hard", type=float, help="Weight of the labels.")
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True))
@click.option("--batch-tokens", type=click.IntRange(min=16))
@click.option("--patience", type=click.IntRange(min=1))
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]))
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--seed", type=SEED)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@columns
@verb
def command(
    output: Output,
    teacher: str,
    layers: int | tuple[int, ...],
    student: Any,
    corpora: tuple[Path, ...],
    augment: int,
    train_file: Path | None,
    dev_file: Path | None,
    name: str | None,
    temperature: float | None,
    soft: float | None,
    hidden: float | None,
    hard: float | None,
    resume: bool,
    text: str | None,
    label: str | None,
    **knobs: Any,
) -> None:
    """Train a small student to answer as TEACHER does: a version (bank@1), or an encoder without a
    task (minilm, a folder, a hub id), whose vectors of the texts of --corpus it learns."""
    if student == "static":
        require_effect(["layers", "hidden"], "is for --student layers: a static one has none.")
    from freehold.app import open_app
    from freehold.app.distill import distill, distill_encoder, is_encoder
    from freehold.app.learn import recipe_of
    from freehold.cli.progress import training_bar
    from freehold.train.distil.objective import Weights

    given = {"temperature": temperature, "soft": soft, "hidden": hidden, "hard": hard}
    weights = Weights(**{name: value for name, value in given.items() if value is not None})
    if not weights.soft:
        require_effect(["temperature"], "is of --soft, which is 0.")
    with open_app(project_of(output), remark=output.remark) as app, training_bar(output.err) as bar:
        texts = functools.partial(app.read, task="text-classification", labelled=False, text=text)
        common: dict[str, Any] = {
            "recipe": recipe_of(app, **knobs),
            "layers": layers,
            "student": student,
            "weights": weights,
            "resume": resume,
            "on_step": output.remark,
            "on_progress": bar,
        }
        if is_encoder(app, teacher):
            if len(corpora) != 1 or train_file or dev_file or augment or label:
                raise click.UsageError(
                    f"{teacher} is an encoder without a task: give one file with --corpus, "
                    "and neither --data, --dev, --label nor --augment."
                )
            _require_alternatives("sentence-embedding")
            made = distill_encoder(
                app, teacher=teacher, corpus=texts(corpora[0]), model=name or "encoder", **common
            )
            parent = teacher
        else:
            source = app.version(teacher, newest=True)
            _require_alternatives(source.task)
            read = functools.partial(app.read, task=source.task, text=text, label=label)
            made = distill(
                app,
                teacher=source,
                train_data=read(app.data_path(train_file, "train")),
                dev_data=read(app.data_path(dev_file, "dev")),
                model=name or source.model,
                corpora=[texts(corpus) for corpus in corpora],
                augment=augment,
                **common,
            )
            parent = source.name
    found, version = made.distilled, made.version
    if found.fit.interrupted:
        output.exit_code = 1
        output.remark("Stopped; go on with the same command and --resume.")
    if version is None:
        output.document({"error": "stopped before the first epoch ended", "hint": "--resume"})
        return
    cost = version.train_cost
    output.document(
        {
            "model": version.model,
            "version": version.version,
            "task": version.task,
            "teacher": parent,
            "student": student,
            "layers": list(found.layers),
            "metrics": version.metrics,
            "seconds": version.train_seconds,
            "cost": {"training": f"{cost:f}", "currency": version.currency},
        }
    )
    of = f"layers {', '.join(map(str, found.layers))}" if found.layers else "vectors of tokens"
    output.show(
        f"[bold]{version.name}[/bold] of {parent}'s {of}: "
        f"dev {found.fit.score_name} {found.fit.score:.4f}, "
        f"the teacher's {found.teacher_score:.4f}: {found.retained:.1%} of it kept; "
        f"{found.fit.epochs} epochs in {version.train_seconds:.0f} s, "
        f"cost {cost:.4f} {version.currency} of machine."
    )
    output.show(f"Next: freehold evaluate {version.name} && freehold export {version.name}")


def _require_alternatives(task: str) -> None:
    """A temperature is of answers that are one of several."""
    from freehold.train.distil.objective import ALTERNATIVES

    if task not in ALTERNATIVES:
        require_effect(["temperature"], f"is for tasks that choose one label, not for {task}.")
