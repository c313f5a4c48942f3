"""Which adapter trains which task: a new task is a file and a line here."""

from __future__ import annotations

import importlib

from freehold.errors import TrainError
from freehold.train.tasks.adapter import TaskAdapter

__all__ = ["adapter_of"]

ADAPTERS = {
    "text-classification": "freehold.train.tasks.text_classification",
    "token-classification": "freehold.train.tasks.token_classification",
}


def adapter_of(task: str) -> TaskAdapter:
    """Raises TrainError for a task without an adapter."""
    if task not in ADAPTERS:
        raise TrainError(f"There is no task {task!r}.", hint=f"Tasks: {', '.join(ADAPTERS)}.")
    adapter: TaskAdapter = importlib.import_module(ADAPTERS[task]).ADAPTER
    return adapter
