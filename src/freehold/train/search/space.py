"""What a search varies: for each knob of the recipe a range or a list of choices."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeAlias

from freehold.errors import TrainError
from freehold.train.recipe import HARDENED_BY, Recipe

__all__ = ["Choice", "Knob", "Range", "Space", "default_space", "read_space", "with_knobs"]

# The knobs that a search varies unless it is told otherwise, and those that it knows a range for.
USUAL = ("learning_rate", "epochs", "batch_tokens", "dropout", "label_smoothing", "weight_decay")
# A range's own names in a file.
_ENDS = {"low", "high", "log"}


@dataclass(frozen=True, slots=True)
class Range:
    """low <= value <= high, by whole numbers where `whole`, evenly in the logarithm where `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def nearest(self, value: float) -> float:
        """The value, or the end that it is beyond."""
        kept = min(max(value, self.low), self.high)
        return round(kept) if self.whole else kept

    def place(self, value: float) -> float:
        """Where the value lies between the ends, 0 to 1."""
        low, high, at = (
            (math.log(end) for end in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return (at - low) / (high - low) if high > low else 0.5


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values."""

    choices: tuple[str | float | int, ...]


Knob: TypeAlias = Range | Choice
Space: TypeAlias = dict[str, Knob]


def default_space(recipe: Recipe, *, chooses: bool = True, layer: bool = True) -> Space:
    """Ranges about a settled recipe, so that they fit the size of its data and its task; targets
    are smoothed only where the task chooses one of several labels, and there is dropout only where
    it has a last `layer`."""
    ranges = _ranges(recipe)
    left_out = {"label_smoothing": not chooses, "dropout": not layer}
    return {name: ranges[name] for name in USUAL if not left_out.get(name)}


def with_knobs(recipe: Recipe, names: Sequence[str]) -> Space:
    """The named knobs with their own ranges. Raises TrainError for one without."""
    ranges = _ranges(recipe)
    for name in names:
        if name not in ranges:
            raise TrainError(
                f"There is no range for the knob {name!r}.",
                hint=f"Name some of {', '.join(ranges)}, or write ranges in a file for --space.",
            )
    return {name: ranges[name] for name in names}


def _ranges(recipe: Recipe) -> Space:
    epochs, rate, tokens = recipe.epochs, recipe.learning_rate, recipe.batch_tokens
    assert epochs is not None
    assert rate is not None
    assert tokens is not None
    return {
        "learning_rate": Range(rate / 5, rate * 4, log=True),
        "epochs": Range(max(1, epochs // 2), max(2, math.ceil(1.5 * epochs)), whole=True),
        "batch_tokens": Range(max(16, tokens // 2), tokens * 2, log=True, whole=True),
        "dropout": Range(0.0, 0.4),
        "label_smoothing": Range(0.0, 0.15),
        "weight_decay": Range(1e-3, 0.1, log=True),
        "encoder_dropout": Range(0.0, 0.2),
        "warmup": Range(0.0, 0.3),
        "clip_norm": Range(0.3, 3.0, log=True),
        "class_weights": Choice(("none", "balanced")),
    }


def read_space(path: Path, recipe: Recipe) -> Space:
    """A TOML file with a table a knob: `low`, `high` and perhaps `log`, or `choices`.

    Raises TrainError with the file, the knob and what is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TrainError(f"{path} is not TOML: {error}.") from error
    if not document:
        raise TrainError(f"{path} names no knob.", hint="Write [learning_rate] with low and high.")
    space: Space = {}
    for name, entry in document.items():
        try:
            space[name] = _knob(name, entry, recipe)
        except TrainError as error:
            raise TrainError(f"{path}, [{name}]: {error.message}", hint=error.hint) from error
    for name in space:
        if (of := _missing(name, space, recipe)) is not None:
            raise TrainError(
                f"{path}, [{name}]: it changes nothing without {of}.",
                hint=f"Leave it out, or set {of.partition(' ')[0]} under [train], or search it.",
            )
    return space


def _missing(name: str, space: Space, recipe: Recipe) -> str | None:
    """What a knob is of, where that is neither in the recipe nor searched; else None."""
    if name in ("lora_scale", "lora_modules"):
        return None if recipe.lora_rank or "lora_rank" in space else "lora_rank"
    methods = HARDENED_BY.get(name)
    searched = space.get("adversarial")
    tried = searched.choices if isinstance(searched, Choice) else (recipe.adversarial,)
    if methods is None or set(tried) & set(methods):
        return None
    return f"adversarial {', '.join(methods)}"


def _knob(name: str, entry: Any, recipe: Recipe) -> Knob:
    known = {field.name: str(field.type) for field in fields(Recipe)}
    if name not in known or name in ("base", "seed", "threads"):
        raise TrainError(
            "no such knob of the recipe can be searched.",
            hint="See the knobs of the recipe in docs/train.md.",
        )
    if not isinstance(entry, Mapping):
        raise TrainError("this has to be a table.", hint="Write low = … and high = …, or choices.")
    knob: Knob
    if "choices" in entry:
        if set(entry) != {"choices"}:
            raise TrainError("choices stand alone.", hint="Leave out low, high and log.")
        choices = entry["choices"]
        if not isinstance(choices, list) or len(choices) < 2:
            raise TrainError("choices has to be a list of at least two values.")
        kinds = _kinds(known[name])
        for value in choices:
            if isinstance(value, bool) or not isinstance(value, kinds):
                raise TrainError(f"{value!r} is of the wrong kind.")
        knob, tried = Choice(tuple(choices)), list(choices)
    else:
        knob = _range(entry, whole=known[name].startswith("int"))
        tried = [knob.low, knob.high]
    for value in tried:
        try:
            replace(recipe, **{name: value})
        except TypeError as error:
            raise TrainError(f"{value!r} is of the wrong kind.") from error
    return knob


def _kinds(declared: str) -> tuple[type, ...]:
    if declared.startswith("int"):
        return (int,)
    return (int, float) if declared.startswith("float") else (str,)


def _range(entry: Mapping[str, Any], *, whole: bool) -> Range:
    if unknown := sorted(set(entry) - _ENDS):
        raise TrainError(f"there is no {unknown[0]!r} here.", hint="Write low, high and log.")
    low, high, log = entry.get("low"), entry.get("high"), entry.get("log", False)
    for value in (low, high):
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            kind = "whole numbers" if whole else "numbers"
            raise TrainError(f"low and high have to be {kind}.")
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise TrainError(f"low ({low}) has to be below high ({high}).")
    if not isinstance(log, bool) or (log and low <= 0):
        raise TrainError("log has to be true or false, and goes only with low above 0.")
    return Range(low, high, log=log, whole=whole)


def document(space: Space) -> dict[str, Any]:
    """The space as JSON values."""
    return {name: asdict(knob) for name, knob in space.items()}


def from_document(value: Mapping[str, Any]) -> Space:
    """The inverse of `document`."""
    return {
        name: Choice(tuple(entry["choices"])) if "choices" in entry else Range(**entry)
        for name, entry in value.items()
    }
