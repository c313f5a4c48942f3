"""Finds the tasks: every file of this package that has a TASK, nothing else to enter it in."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from pathlib import Path

from freehold.errors import InputError
from freehold.tasks.base import Task

__all__ = ["kinds", "task_of"]

# What most projects do stands first where tasks are listed.
_FIRST = ("text-classification", "token-classification")


def task_of(kind: str) -> Task:
    """Raises InputError for a task that there is not."""
    tasks = _tasks()
    if kind not in tasks:
        raise InputError(f'There is no task "{kind}".', hint=f"The tasks are {', '.join(tasks)}.")
    return tasks[kind]


def kinds() -> tuple[str, ...]:
    """The names of all tasks."""
    return tuple(_tasks())


@functools.cache
def _tasks() -> dict[str, Task]:
    found: dict[str, Task] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        task = getattr(importlib.import_module(f"freehold.tasks.{module.name}"), "TASK", None)
        if isinstance(task, Task):
            if task.kind in found:
                raise RuntimeError(f"Two files of freehold.tasks have a task {task.kind}.")
            found[task.kind] = task
    return dict(sorted(found.items(), key=lambda item: (item[0] not in _FIRST, item[0])))
