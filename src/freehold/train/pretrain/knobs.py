"""Every knob of a pretraining run with its default, and how it is recorded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from freehold.errors import TrainError
from freehold.settings import setting
from freehold.train.recipe import Precision

__all__ = ["OBJECTIVES", "TASKS", "ObjectiveName", "Packing", "Pretraining"]

ObjectiveName = Literal["mlm", "clm", "simcse", "pairs"]
OBJECTIVES: tuple[ObjectiveName, ...] = get_args(ObjectiveName)
Packing = Literal["auto", "on", "off"]

# The task that a version is registered under.
TASKS: dict[ObjectiveName, str] = {
    "mlm": "masked-lm",
    "clm": "causal-lm",
    "simcse": "sentence-embedding",
    "pairs": "sentence-embedding",
}
EPOCHS: dict[ObjectiveName, int] = {"mlm": 3, "clm": 3, "simcse": 1, "pairs": 3}
LEARNING_RATE: dict[ObjectiveName, float] = {
    "mlm": 2e-4,
    "clm": 2e-4,
    "simcse": 3e-5,
    "pairs": 5e-5,
}
BATCH_TOKENS: dict[ObjectiveName, int] = {"mlm": 2048, "clm": 2048, "simcse": 1024, "pairs": 2048}
DROPOUT: dict[ObjectiveName, float] = {"mlm": 0.0, "clm": 0.0, "simcse": 0.1, "pairs": 0.0}


@dataclass(frozen=True, slots=True)
class Pretraining:
    """How to pretrain; `resolved` fills in what is None. TrainError names a knob out of range."""

    objective: ObjectiveName = setting(
        "mlm", "mlm (hidden words), clm (next token), simcse (a text finds itself), or pairs."
    )
    base: str = setting(
        "minilm", "The checkpoint to go on with: minilm, a folder, a hub id, or a version."
    )
    epochs: int | None = setting(None, "Passes over the corpus; chosen by objective.")
    steps: int | None = setting(None, "Optimizer steps, in place of epochs.")
    minutes: float | None = setting(
        None, "About how long to train, in place of epochs: made into steps by timing the first."
    )
    learning_rate: float | None = setting(None, "The highest learning rate; chosen by objective.")
    batch_tokens: int | None = setting(None, "Tokens in a batch; chosen by objective.")
    max_length: int = setting(
        128, "Tokens in a row. Longer texts are cut into several for mlm and clm, else cut off."
    )
    warmup: float = setting(0.1, "Share of the steps in which the learning rate rises.")
    weight_decay: float = setting(0.01, "Decoupled weight decay of matrices (not of biases).")
    clip_norm: float = setting(1.0, "Gradients are scaled down to this norm; 0 for no clipping.")
    dropout: float | None = setting(None, "Dropout inside the model; chosen by objective.")
    mask_share: float = setting(0.15, "Share of the words that mlm hides.")
    head_share: float = setting(
        0.1, "Share of the steps in which a new mlm head is trained alone, the encoder as it is."
    )
    temperature: float = setting(0.05, "What cosines are divided by in the contrastive losses.")
    packing: Packing = setting(
        "auto", "Several documents in one row: on, off, or auto: if the model can keep them apart."
    )
    held_out: float = setting(0.05, "Share of the texts that is kept aside and asked about.")
    looks: int = setting(5, "How often the held-out texts are asked about on the way.")
    precision: Precision = setting("auto", "fp32, bf16, or auto: bf16 where it is fast.")
    seed: int = setting(0, "Seed of the held-out share, the batches, the masks and the dropout.")
    threads: int | None = setting(None, "Processor threads; all that torch finds when not given.")

    def __post_init__(self) -> None:
        positive = "epochs steps minutes learning_rate batch_tokens temperature looks threads"
        for name in positive.split():
            self._require(name, lambda value: value > 0, "above 0")
        for name in ("warmup", "dropout", "head_share"):
            self._require(name, lambda value: 0 <= value < 1, "in 0 <= x < 1")
        for name in ("mask_share", "held_out"):
            self._require(name, lambda value: 0 < value < 1, "in 0 < x < 1")
        for name in ("weight_decay", "clip_norm"):
            self._require(name, lambda value: value >= 0, "0 or more")
        self._require("max_length", lambda value: value >= 8, "at least 8 tokens")
        choices = {"objective": ObjectiveName, "packing": Packing, "precision": Precision}
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise TrainError(
                    f"{name} is {getattr(self, name)!r}, but has to be one of "
                    f"{', '.join(get_args(allowed))}."
                )
        lengths = [n for n in ("epochs", "steps", "minutes") if getattr(self, n) is not None]
        if len(lengths) > 1:
            raise TrainError(
                f"{' and '.join(lengths)} are given, but one of them decides how long a run is."
            )
        if self.objective == "simcse" and self.dropout == 0:
            raise TrainError(
                "dropout is 0, but simcse learns from the difference that dropout makes.",
                hint="Leave it out, or give 0.1.",
            )

    def _require(self, name: str, fits: Callable[[float], bool], what: str) -> None:
        value = getattr(self, name)
        if value is not None and not (math.isfinite(value) and fits(value)):
            raise TrainError(f"{name} is {value}, but has to be {what}.")

    def resolved(self) -> Pretraining:
        """This recipe with rate, budget and dropout chosen, and epochs where nothing else says how
        long the run is."""
        given = self.steps is not None or self.minutes is not None
        return replace(
            self,
            epochs=self.epochs if given else self.epochs or EPOCHS[self.objective],
            learning_rate=self.learning_rate or LEARNING_RATE[self.objective],
            batch_tokens=self.batch_tokens or BATCH_TOKENS[self.objective],
            dropout=DROPOUT[self.objective] if self.dropout is None else self.dropout,
        )

    def document(self) -> dict[str, Any]:
        """The recipe as JSON values, for a version's lineage."""
        return asdict(self)
