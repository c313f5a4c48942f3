"""`freehold data check`: what is in labelled files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from freehold.cli.common import SEED, Output, project_of, require_effect, verb

if TYPE_CHECKING:
    from freehold.project import Project
    from freehold.tasks.types import Dataset, Task
    from freehold.train.encoders import EncoderFiles

_FILE = click.Path(path_type=Path)


@click.group("data")
def command() -> None:
    """Look at labelled files before learning from them."""


@command.command("check")
@click.argument("files", nargs=-1, type=_FILE)
@click.option("--dev", type=_FILE, help="The dev file.")
@click.option("--test", type=_FILE, help="The test file.")
@click.option("--text", help="The column with the text (or the words).")
@click.option("--label", help="The column with the label (or the tags).")
@click.option(
    "--task",
    help="What the files are for; otherwise the columns show it.",
)
@verb
def check(
    output: Output,
    files: tuple[Path, ...],
    dev: Path | None,
    test: Path | None,
    text: str | None,
    label: str | None,
    task: str | None,
) -> None:
    """Check FILES: one is the training file, others by their names or in the order train, dev,
    test. Without FILES those of freehold.toml. Exit code 1 if there is an error among the findings.
    """
    from freehold.data.check import check as look
    from freehold.data.terminal import render

    project = _project(output, needed=not files)
    splits, own = _splits(project, files, dev, test)
    if project is not None:
        text, label = text or project.data.text, label or project.data.label
        task = task or (project.task.kind if own else None)
    datasets = {
        name: _read(path, task, text or None, label or None) for name, path in splits.items()
    }
    report = look(datasets, **({"max_length": project.train.max_length} if project else {}))
    output.document(report.document())
    output.show(render(report))
    output.exit_code = 0 if report.ok else 1


@command.command("join")
@click.argument("file", type=_FILE)
@click.option("--words", type=click.IntRange(min=1), default=90, show_default=True,
              help="Words of a text at most.")  # fmt: skip
@click.option("--vary", is_flag=True, help="A quarter of the texts end early, at a random length.")
@click.option("--times", type=click.IntRange(min=1), default=1, show_default=True,
              help="Write all sentences so often, with --vary cut anew each time.")  # fmt: skip
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of --vary.")
@click.option("--out", type=_FILE, help="The file to write.")
@click.option("--text", help="The column with the words.")
@click.option("--label", help="The column with the tags.")
@verb
def join(
    output: Output,
    file: Path,
    words: int,
    vary: bool,
    times: int,
    seed: int,
    out: Path | None,
    text: str | None,
    label: str | None,
) -> None:
    """Join the tagged sentences of FILE, in its order, into longer texts of a line each: who reads
    what stands around a sentence tags it better, and served texts are longer than a sentence.
    """
    from freehold.data.join import join as put_together

    if (project := _project(output, needed=False)) is not None:
        text, label = text or project.data.text, label or project.data.label
    data = _read(file, "token-classification", text or None, label or None)
    path = out or file.with_name(f"{file.stem}-joined.jsonl")
    done = put_together(data, path, words=words, vary=vary, seed=seed, times=times)
    output.document(
        {"out": str(path), "sentences": done.sentences, "texts": done.texts, "words": done.words}
    )
    output.show(
        f"{done.sentences:,} sentences ({done.words:,} words) joined into {done.texts:,} texts: "
        f"{path}"
    )


@command.command("review")
@click.argument("file", required=False, type=_FILE)
@click.option("--pool", type=_FILE, help="Unlabelled texts: rank those worth labelling next.")
@click.option("--most", type=click.IntRange(min=1), default=100, show_default=True,
              help="Texts of the pool to rank.")  # fmt: skip
@click.option("--apply", "sheet", type=_FILE, help="A corrected sheet: write its labels into FILE.")
@click.option("--out", type=_FILE, help="The sheet to write; with --apply, the corrected file.")
@click.option("--base", help="Encoder to judge by: minilm, a folder, a hub id, or MODEL@V.")
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the folds.")
@click.option("--threads", type=click.IntRange(min=1))
@click.option("--text", help="The column with the text.")
@click.option("--label", help="The column with the label.")
@verb
def review(
    output: Output,
    file: Path | None,
    pool: Path | None,
    most: int,
    sheet: Path | None,
    out: Path | None,
    base: str | None,
    folds: int,
    seed: int,
    threads: int | None,
    text: str | None,
    label: str | None,
) -> None:
    """Rank labels of FILE that are likely wrong, as a sheet to correct; with --pool the texts that
    are worth labelling next; with --apply write a corrected sheet back. FILE is the project's
    training file by default.
    """
    from freehold.errors import InputError

    if pool is not None and sheet is not None:
        raise InputError("--pool and --apply do not go together.", hint="Give one of them.")
    if pool is None:
        require_effect(["most"], "is for --pool.")
    if pool is not None or sheet is not None:
        require_effect(["folds", "seed"], "has no effect with --pool or --apply.")
    if sheet is not None:
        require_effect(["base", "threads"], "has no effect with --apply.")
    project = _project(output, needed=file is None)
    if project is not None:
        text, label = text or project.data.text, label or project.data.label
        file = file or project.root / project.data.train
    assert file is not None
    data = _read(file, "text-classification", text or None, label or None)
    if sheet is not None:
        _apply(output, data, sheet, out)
        return
    options = {
        "max_length": project.train.max_length if project else 128,
        "threads": threads or (project.train.threads if project else 0) or None,
    }
    files = _encoder(project, base)
    out = out or Path(f"{(pool or file).stem}-{'wanted' if pool else 'review'}.csv")
    if pool is not None:
        _suggest(output, data, pool, out, files, text or None, most, options)
    else:
        _review(output, data, out, files, {**options, "folds": folds, "seed": seed})


def _apply(output: Output, data: Dataset, sheet: Path, out: Path | None) -> None:
    from freehold.data.relabel import apply_sheet

    path = out or data.path.with_name(f"{data.path.stem}-corrected{data.path.suffix}")
    done = apply_sheet(data, sheet, path)
    output.document(
        {
            "out": str(path),
            "corrected": done.corrected,
            "added": done.added,
            "rows": done.rows,
        }
    )
    output.show(
        f"{done.corrected:,} labels corrected, {done.added:,} texts added: {path} "
        f"({done.rows:,} rows)."
    )


def _encoder(project: Project | None, base: str | None) -> EncoderFiles:
    """As named, or the project's; of a project also a version."""
    from freehold.app import open_app
    from freehold.app.learn import base_of
    from freehold.app.versions import encoder_files
    from freehold.train.encoders import find

    if project is None:
        return find(base or "minilm")
    with open_app(project) as app:
        return encoder_files(app, base or base_of(project))


def _review(
    output: Output, data: Dataset, out: Path, files: EncoderFiles, options: dict[str, Any]
) -> None:
    from dataclasses import asdict

    from freehold.app.review import review as look
    from freehold.cli.progress import counting_bar
    from freehold.evaluate.review.terminal import suspects_table

    with counting_bar(output.err) as draw:
        found = look(
            data,
            files,
            out,
            on_progress=lambda done, of: draw(f"reading {data.path.name}", of, done),
            **options,
        )
    for name, count in sorted(found.left_out.items()):
        output.remark(f'Not judged: "{name}", which has too few different texts ({count}).')
    output.document(
        {
            "data": data.path.name,
            "n": found.n,
            "out_of_fold_accuracy": found.agreement,
            "suspects": [asdict(suspect) for suspect in found.found],
            "not_judged": found.left_out,
            "sheet": str(out),
        }
    )
    output.show(suspects_table(found.found))
    output.show(
        f"{len(found.found):,} of {found.n:,} labels are likely wrong; models that did not see a "
        f"text agree with {found.agreement:.1%} of the labels."
    )
    output.show(f"Correct the column label in {out}, then: --apply {out}")


def _suggest(
    output: Output,
    data: Dataset,
    pool: Path,
    out: Path,
    files: EncoderFiles,
    text: str | None,
    most: int,
    options: dict[str, Any],
) -> None:
    from dataclasses import asdict

    from freehold.app.review import suggest
    from freehold.cli.progress import counting_bar
    from freehold.data.read import read_dataset
    from freehold.evaluate.review.terminal import wanted_table

    unlabelled = read_dataset(pool, task="text-classification", text=text, labelled=False)
    with counting_bar(output.err) as draw:
        found = suggest(
            data,
            unlabelled,
            files,
            out,
            most=most,
            on_progress=lambda done, of: draw("reading texts", of, done),
            **options,
        )
    output.document(
        {
            "data": data.path.name,
            "pool": pool.name,
            "n": len(unlabelled),
            "wanted": [asdict(wanted) for wanted in found],
            "sheet": str(out),
        }
    )
    output.show(wanted_table(found))
    output.show(f"Fill the column label in {out}, then: --apply {out}")


def _project(output: Output, *, needed: bool) -> Project | None:
    """The project around; files can be checked without one."""
    from freehold.errors import NotFoundError

    try:
        return project_of(output)
    except NotFoundError:
        if needed:
            raise
        return None


def _splits(
    project: Project | None, files: tuple[Path, ...], dev: Path | None, test: Path | None
) -> tuple[dict[str, Path], bool]:
    """The file of each split, and whether they are the project's own."""
    from freehold.data.splits import name_splits

    if files or project is None:
        return name_splits(files, dev=dev, test=test), False
    named = {"train": project.data.train, "dev": project.data.dev, "test": project.data.test}
    splits = {name: project.root / file for name, file in named.items() if file}
    given = {name: file for name, file in (("dev", dev), ("test", test)) if file}
    return {**splits, **given}, True


def _read(path: Path, task: Task | None, text: str | None, label: str | None) -> Dataset:
    from freehold.data.read import read_dataset

    return read_dataset(path, task=task, text=text, label=label)
