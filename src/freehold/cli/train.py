"""`freehold train`: fine-tune an encoder and register a version."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import SEED, Output, columns, project_of, require_effect, verb

if TYPE_CHECKING:
    from freehold.train.recipe import Recipe

WORKERS = 2  # on Ray


@click.command("train")
@click.option("--data", "train_file", type=click.Path(path_type=Path), help="Labelled texts.")
@click.option(
    "--dev", "dev_file", type=click.Path(path_type=Path), help="Labelled texts kept aside."
)
@click.option("--name", help="The model's name; the project's by default.")
@click.option("--task", help="What to learn; the project's [task] kind by default.")
@click.option("--base", help="Encoder to start from: minilm, a folder, a hub id, or MODEL@V.")
@click.option("--from", "source", help="Transfer: start from this version's encoder (MODEL@V).")
@click.option("--few-shot", is_flag=True, help="Learn from 8 to 64 examples a label.")
@click.option("--shots", type=click.IntRange(min=1), help="Draw so many examples of each label.")
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True))
@click.option("--batch-tokens", type=click.IntRange(min=16))
@click.option("--max-length", type=click.IntRange(min=8))
@click.option("--class-weights", type=click.Choice(["none", "balanced"]))
@click.option(
    "--encoder-dropout",
    type=click.FloatRange(min=0, max=1, max_open=True),
    help="Dropout inside the encoder; 0.1 pays where a small set is seen many times.",
)
@click.option("--label-smoothing", type=click.FloatRange(min=0, max=1, max_open=True))
@click.option(
    "--layer-decay",
    type=click.FloatRange(min=0, min_open=True, max=1),
    help="Rate of each layer as a share of the one above it.",
)
@click.option("--freeze-layers", type=click.IntRange(min=0), help="First layers that stay.")
@click.option("--lora-rank", type=click.IntRange(min=0), help="LoRA instead of all weights.")
@click.option("--lora-scale", type=click.FloatRange(min=0, min_open=True))
@click.option("--lora-modules", type=click.Choice(["attention", "all"]))
@click.option(
    "--adversarial",
    type=click.Choice(["none", "fgm", "pgd", "freelb", "rdrop", "copies"]),
    help="Learn from harder inputs (docs/harden.md).",
)
@click.option("--adversarial-steps", type=click.IntRange(min=1))
@click.option("--adversarial-size", type=click.FloatRange(min=0, min_open=True))
@click.option("--adversarial-weight", type=click.FloatRange(min=0, min_open=True))
@click.option("--augment", type=click.FloatRange(min=0), help="Changed copies of each text.")
@click.option(
    "--skip-known",
    type=click.FloatRange(min=0, max=1, max_open=True),
    help="Leave so much of what is known already out of later epochs.",
)
@click.option("--casing", type=click.Choice(["auto", "on", "off"]), help="Capitals, for tags.")
@click.option("--patience", type=click.IntRange(min=1))
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]))
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--seed", type=SEED)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@click.option("--runner", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Workers that share each batch, with --runner ray: 2 by default (docs/runner.md).",
)
@columns
@verb
def command(
    output: Output,
    train_file: Path | None,
    dev_file: Path | None,
    name: str | None,
    task: str | None,
    resume: bool,
    runner: str,
    workers: int | None,
    source: str | None,
    few_shot: bool,
    shots: int | None,
    text: str | None,
    label: str | None,
    **knobs: Any,
) -> None:
    """Fine-tune on labelled texts; the best epoch by dev score becomes a new version."""
    if source is not None and knobs["base"] is not None:
        raise click.UsageError("--from names the encoder to start from; leave out --base.")
    if workers is not None and runner == "local":
        raise click.UsageError("--workers is for --runner ray.")
    from freehold.app import open_app
    from freehold.app.learn import recipe_of, train
    from freehold.cli.progress import training_bar
    from freehold.data.shots import draw_shots

    project = project_of(output)
    with open_app(project, remark=output.remark) as app:
        if source is not None:
            knobs["base"] = app.registry.get(source).name
        recipe = recipe_of(app, **knobs)
        _require_effect(recipe, few_shot=few_shot)
        read = functools.partial(app.read, task=task, text=text, label=label)
        train_data = read(app.data_path(train_file, "train"))
        dev_data = read(app.data_path(dev_file, "dev"))
        if shots is not None:
            train_data = draw_shots(train_data, shots, seed=recipe.seed)
        for data in (train_data, dev_data):
            columns = ", ".join(f"{role}={column}" for role, column in data.columns.items())
            how = "inferred" if data.inferred else "given"
            output.remark(f"{data.path.name}: {len(data):,} examples ({columns}; {how})")
        unknown = sorted(set(dev_data.labels()) - set(train_data.labels()))
        if unknown:
            output.remark(
                f"{dev_data.path.name} has labels that {train_data.path.name} lacks, "
                f"which count as errors: {', '.join(unknown[:5])}{' …' if unknown[5:] else ''}"
            )
        if recipe.adversarial == "rdrop" and not recipe.encoder_dropout:
            output.remark("rdrop compares passes with dropout: 0.1 of it is set inside the encoder")
        hardened = recipe.adversarial != "none" or recipe.augment > 0
        if runner == "ray":
            output.remark("Ray is being started or joined, which takes a moment")
        with training_bar(output.err) as bar:
            trained = train(
                app,
                train_data=train_data,
                dev_data=dev_data,
                recipe=recipe,
                model=name or project.model,
                method=_method(source=source, few_shot=few_shot, hardened=hardened),
                few_shot=few_shot,
                workers=0 if runner == "local" else workers or WORKERS,
                resume=resume,
                on_progress=bar,
            )
    fit, version = trained.fit, trained.version
    if fit.interrupted:
        output.exit_code = 1
        output.remark(f"Stopped; go on with `freehold train --resume` (state in {trained.run}).")
    if version is None:
        output.document({"error": "stopped before the first epoch ended", "hint": "--resume"})
        return
    cost = version.train_cost
    output.document(
        {
            "model": version.model,
            "version": version.version,
            "task": version.task,
            "metrics": version.metrics,
            "seconds": version.train_seconds,
            "examples_per_second": fit.examples_per_second,
            "cost": {
                "training": f"{cost:f}",
                "labelling": f"{version.label_cost:f}",
                "currency": version.currency,
            },
        }
    )
    output.show(
        f"[bold]{version.name}[/bold]: dev {fit.score_name} {fit.score:.4f} on {len(dev_data):,}; "
        f"{fit.epochs} epochs in {version.train_seconds:.0f} s, "
        f"{fit.examples_per_second:,.0f} examples/s; "
        f"cost {cost:.4f} {version.currency} of machine, "
        f"{version.label_cost:.2f} {version.currency} of labels."
    )
    output.show(f"Next: freehold evaluate {version.name} && freehold export {version.name}")


def _require_effect(recipe: Recipe, *, few_shot: bool) -> None:
    """Options that are of another one, which was not taken."""
    from freehold.train.recipe import HARDENED_BY

    if not recipe.lora_rank:
        require_effect(["lora_scale", "lora_modules"], "is for --lora-rank.")
    for knob, methods in HARDENED_BY.items():
        if recipe.adversarial not in methods:
            require_effect([knob], f"is for --adversarial {', '.join(methods)}.")
    if few_shot:
        require_effect(
            ["batch_tokens", "patience"],
            "has no effect with --few-shot: batches are of 16 labels, and dev is looked at once.",
        )


def _method(*, source: str | None, few_shot: bool, hardened: bool) -> str:
    """What the version's lineage calls the way it was learnt."""
    if few_shot:
        return "few-shot"
    if source is not None:
        return "transfer"
    return "harden" if hardened else "fine-tune"
