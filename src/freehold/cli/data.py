"""`freehold data check`: what is in labelled files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from freehold.cli.common import Output, project_of, verb

if TYPE_CHECKING:
    from freehold.project import Project
    from freehold.tasks.types import Dataset, Task

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
