"""What of a recipe each rung of the ladder learns by: knobs that do not go with it are left out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from freehold.train.recipe import Recipe

__all__ = ["LEFT_OUT", "recipe_of_rung"]

_PACE = ("epochs", "learning_rate")  # what suits one rung does not suit another
_STEPS = ("batch_tokens", "patience")
_HARDER = ("adversarial", "augment", "skip_known")  # a method with an objective of its own
_LAYERS = ("layer_decay", "freeze_layers", "lora_rank", "casing")  # a table has none
_CLOSED = (*_PACE, *_STEPS, *_HARDER, *_LAYERS, "label_smoothing", "encoder_dropout")  # no steps

LEFT_OUT: dict[str, tuple[str, ...]] = {
    "tfidf": _CLOSED,
    "static": (*_PACE, *_LAYERS),
    "frozen": _CLOSED,
    "few-shot": (*_PACE, *_STEPS, *_HARDER, "label_smoothing"),
    "distilled": (*_PACE, *_HARDER, "class_weights", "label_smoothing", "freeze_layers"),
}


def recipe_of_rung(rung: str, recipe: Recipe) -> Recipe:
    """The recipe with the knobs that do not go with the rung as if nobody had said anything."""
    defaults = type(recipe)()
    return replace(recipe, **{name: getattr(defaults, name) for name in LEFT_OUT.get(rung, ())})
