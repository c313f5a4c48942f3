"""`freehold pretrain`: go on with a checkpoint on unlabelled texts, before a task is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import SEED, Output, project_of, require_effect, verb

if TYPE_CHECKING:
    from rich.table import Table

    from freehold.train.pretrain.run import Pretrained


@click.command("pretrain")
@click.option(
    "--corpus",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    help="Texts: one a line, or a file with a text column; labels are not looked at.",
)
@click.option(
    "--objective",
    type=click.Choice(["mlm", "clm", "simcse", "pairs"]),
    default="mlm",
    show_default=True,
    help="Hidden words, next token, a text finds itself, or pairs that belong together.",
)
@click.option("--base", help="What to go on with: minilm, a folder, a hub id, or MODEL@V.")
@click.option("--name", help="The new model's name; the project's with -base by default.")
@click.option("--text", help="The column with the text; of pairs the first, text_a by default.")
@click.option("--text-b", "other", help="The column with a pair's second text (text_b).")
@click.option("--epochs", type=click.IntRange(min=1))
@click.option("--steps", type=click.IntRange(min=1), help="In place of --epochs.")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="About so long; timed here."
)
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True))
@click.option("--batch-tokens", type=click.IntRange(min=16))
@click.option("--max-length", type=click.IntRange(min=8), help="Tokens in a row.")
@click.option(
    "--mask-share", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="mlm only."
)
@click.option(
    "--head-share",
    type=click.FloatRange(0, 1, max_open=True),
    help="Share of the steps in which a new mlm head learns alone.",
)
@click.option("--temperature", type=click.FloatRange(min=0, min_open=True))
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True))
@click.option("--packing", type=click.Choice(["auto", "on", "off"]))
@click.option(
    "--held-out",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of the texts kept aside to measure on.",
)
@click.option("--looks", type=click.IntRange(min=1), help="How often they are looked at.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]))
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--seed", type=SEED)
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped.")
@verb
def command(
    output: Output,
    file: Path,
    name: str | None,
    text: str | None,
    other: str | None,
    resume: bool,
    **knobs: Any,
) -> None:
    """Go on with a checkpoint on unlabelled texts; the result is a version to start from."""
    if sum(knobs[given] is not None for given in ("epochs", "steps", "minutes")) > 1:
        raise click.UsageError("Give one of --epochs, --steps and --minutes.")
    pairs = knobs["objective"] == "pairs"
    if other is not None and not pairs:
        raise click.UsageError("--text-b is for --objective pairs.")
    if knobs["objective"] != "mlm":
        require_effect(["mask_share", "head_share"], "is for --objective mlm.")
    if knobs["objective"] in ("mlm", "clm"):
        require_effect(["temperature"], "is for --objective simcse and pairs.")
    else:
        require_effect(["packing"], "is for --objective mlm and clm.")
    from freehold.app import open_app
    from freehold.app.pretrain import pretrain, pretraining_of, read_corpus
    from freehold.cli.progress import pretraining_bar

    project = project_of(output)
    with open_app(project, remark=output.remark) as app:
        recipe = pretraining_of(app, **knobs)
        data, corpus = read_corpus(file, pairs=pairs, text=text, other=other)
        output.remark(
            f"{file.name}: {len(corpus):,} different {'pairs' if pairs else 'texts'} "
            f"({corpus.repeated:,} repeated and {corpus.blank:,} blank ones left out)"
        )
        with pretraining_bar(output.err, recipe.objective) as bar:
            done = pretrain(
                app,
                data=data,
                corpus=corpus,
                recipe=recipe,
                model=name or f"{project.model}-base",
                resume=resume,
                on_progress=bar,
            )
    result, version = done.result, done.version
    for note in result.notes:
        output.remark(note)
    if result.interrupted:
        output.exit_code = 1
        output.remark(f"Stopped; go on with the same command and --resume (state in {done.run}).")
    if version is None:
        output.document({"error": "stopped before the first look", "hint": "--resume"})
        return
    output.document(version.document())
    output.show(_table(result))
    output.show(
        f"[bold]{version.name}[/bold]: {result.steps:,} steps, {result.tokens:,} tokens at "
        f"{result.tokens_per_second:,.0f} a second in {version.train_seconds:.0f} s; "
        f"cost {version.train_cost:.4f} {version.currency} of machine."
    )
    if not _better(result):
        output.show(
            "The held-out texts are told no better than before: start from the old checkpoint."
        )
    output.show(f"Next: {_next(version.name, result.task)}")


def _table(result: Pretrained) -> Table:
    """Before and after on the held-out texts."""
    from rich.table import Column, Table

    unit = "tokens" if result.score_name == "perplexity" else "texts"
    table = Table(
        Column("held-out texts", no_wrap=True),
        Column("loss", justify="right"),
        Column(f"{result.score_name.replace('_', ' ')} (95 % interval)", justify="right"),
        Column(unit, justify="right"),
    )
    if result.before.alignment is not None:
        table.add_column("alignment", justify="right")
        table.add_column("uniformity", justify="right")
    looks = (("before", result.before), ("after", result.after))
    for when, look in looks:
        if look is None:
            continue
        digits = 1 if result.score_name == "perplexity" else 3
        row = [
            when,
            f"{look.loss:.4f}",
            f"{look.value:,.{digits}f} ({look.low:,.{digits}f} to {look.high:,.{digits}f})",
            f"{look.n:,}",
        ]
        if look.alignment is not None:
            row += [f"{look.alignment:.3f}", f"{look.uniformity:.3f}"]
        table.add_row(*row)
        if when == "before" and result.head_loss is not None:
            table.add_row("new head, same encoder", f"{result.head_loss:.4f}", "", "")
    return table


def _better(result: Pretrained) -> bool:
    """Whether the texts kept aside are told better, against the encoder as it came."""
    if result.after is None:
        return True  # not known yet
    if result.score_name == "perplexity":
        return result.after.loss < min(result.before.loss, result.head_loss or result.before.loss)
    return result.after.value > result.before.value


def _next(name: str, task: str) -> str:
    if task == "causal-lm":
        return f"freehold pretrain --objective clm --base {name} --corpus FILE"
    if task == "sentence-embedding":
        return f"freehold train --base {name}, or freehold export {name} for the vectors themselves"
    return f"freehold train --base {name}"
