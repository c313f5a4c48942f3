"""What GET /models tells: the models by name, each loaded version, and what is amiss."""

from __future__ import annotations

from typing import Any

from freehold.serve.ports import Caller, ModelEngine
from freehold.serve.routes import Table

__all__ = ["models"]


def models(table: Table, caller: Caller) -> dict[str, Any]:
    """What a caller's key is for: `models` by name with their live version; `versions` that can be
    asked as MODEL@VERSION, with what they are loaded for; `troubles`, a sentence for each version
    that could not be loaded."""
    named = [(name, route.live) for name, route in sorted(table.named.items())]
    loaded = sorted(table.loaded, key=lambda item: _place(item.engine))
    troubles = [(name, *name.rsplit("@", 1)) for name in sorted(table.troubles)]
    return {
        "models": [_model(name, e) for name, e in named if caller.may(*_place(e))],
        "versions": [
            {"name": "{}@{}".format(*_place(item.engine)), "stages": list(item.stages)}
            for item in loaded
            if caller.may(*_place(item.engine))
        ],
        "troubles": [
            {"name": name, "trouble": table.troubles[name]}
            for name, model, version in troubles
            if caller.may(model, int(version))
        ],
    }


def _place(engine: ModelEngine) -> tuple[str, int]:
    return engine.meta.model, engine.meta.version


def _model(name: str, engine: ModelEngine) -> dict[str, Any]:
    meta = engine.meta
    return {
        "name": name,
        "model": meta.model,
        "version": meta.version,
        "task": meta.task,
        "labels": list(meta.labels),
        "max_length": meta.max_length,
    }
