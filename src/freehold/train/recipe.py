"""The recipe: every knob of a training run with its default, and how it is recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from freehold.errors import TrainError
from freehold.settings import setting

__all__ = [
    "HARDENED_BY",
    "Adversarial",
    "Casing",
    "ClassWeights",
    "LoraModules",
    "Precision",
    "Recipe",
]

Precision = Literal["auto", "fp32", "bf16"]
ClassWeights = Literal["none", "balanced"]
LoraModules = Literal["attention", "all"]
Casing = Literal["auto", "on", "off"]
Adversarial = Literal["none", "fgm", "pgd", "freelb", "rdrop", "copies"]

# Which ways of training on harder inputs a knob is of.
HARDENED_BY: dict[str, tuple[Adversarial, ...]] = {
    "adversarial_steps": ("pgd", "freelb", "copies"),
    "adversarial_size": ("fgm", "pgd", "freelb"),
    "adversarial_weight": ("fgm", "pgd", "rdrop", "copies"),
}

# What `epochs = None` aims at: so many optimizer steps in all, within the bounds of each task.
STEPS = 700
# Of each head; tasks that share a head learn alike.
EPOCHS: dict[str, tuple[int, int]] = {"tags": (3, 15), "span": (3, 10), "vector": (2, 10)}
MOST_EPOCHS = (6, 20)  # of all others
LEARNING_RATE: dict[str, float] = {"tags": 2e-4, "span": 2e-4, "vector": 5e-5}
RATE = 3e-4
LORA_FASTER = 5  # times the learning rate of a full fine-tuning
RDROP_DROPOUT = 0.1  # inside the encoder where the recipe has none: R-Drop compares what it does


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to fine-tune; `resolved` fills in what is None. TrainError names a knob out of range."""

    base: str = setting(
        "minilm", "The encoder to start from: minilm, a folder, or a Hugging Face id (org/name)."
    )
    epochs: int | None = setting(
        None, "Passes over the training data; chosen by task and size when not given."
    )
    learning_rate: float | None = setting(
        None, "The highest learning rate; chosen by task when not given."
    )
    batch_tokens: int | None = setting(
        None, "Tokens in a batch, padding included; chosen by the size of the data when not given."
    )
    max_length: int = setting(128, "Tokens kept of each example; what is beyond them is cut off.")
    warmup: float = setting(0.1, "Share of all steps in which the learning rate rises.")
    weight_decay: float = setting(0.01, "Decoupled weight decay of matrices (not of biases).")
    clip_norm: float = setting(1.0, "Gradients are scaled down to this norm; 0 for no clipping.")
    dropout: float = setting(0.1, "Dropout before the last layer.")
    encoder_dropout: float = setting(
        0.0, "Dropout inside the encoder; over a few epochs it costs time and gains nothing."
    )
    patience: int = setting(3, "Epochs without a better dev score before the run stops early.")
    class_weights: ClassWeights = setting(
        "none", "Weight of each label in the loss: none, or balanced (rare labels count more)."
    )
    label_smoothing: float = setting(0.0, "Share of each target spread over all labels.")
    layer_decay: float = setting(
        1.0, "The rate of each layer as a share of the one above it; 1 for the same rate in all."
    )
    freeze_layers: int = setting(
        0, "So many first layers, and the embeddings, stay as they are; 0: everything learns."
    )
    lora_rank: int = setting(
        0, "Rank of the updates of a LoRA run, beside frozen matrices; 0 for full fine-tuning."
    )
    lora_scale: float = setting(2.0, "Factor on LoRA's updates (its alpha is this times the rank).")
    lora_modules: LoraModules = setting(
        "all", "Matrices that LoRA updates: all of each layer, or attention's only."
    )
    adversarial: Adversarial = setting(
        "none",
        "Training on harder inputs: none, fgm, pgd, freelb, rdrop or copies.",
    )
    adversarial_steps: int = setting(
        3, "Uphill steps of pgd, passes over each batch of freelb, copies tried of copies."
    )
    adversarial_size: float = setting(
        0.05, "How far word vectors are moved, as a share of the length of the text's own."
    )
    adversarial_weight: float = setting(
        1.0,
        "Weight of the harder batch (fgm, pgd, copies), or of the agreement (rdrop).",
    )
    augment: float = setting(
        0.0, "Copies of each training text with typing slips and synonyms; 0 for none."
    )
    skip_known: float = setting(
        0.0,
        "Share of the examples that the model knows already left out of each later epoch; 0 for "
        "none.",
    )
    casing: Casing = setting(
        "auto",
        "Give the encoder each word's capitals beside it: on, off, or auto: for tags, where the "
        "tokenizer folds case.",
    )
    precision: Precision = setting(
        "auto", "fp32, bf16 (matrix products in bfloat16), or auto: bf16 where it is fast."
    )
    seed: int = setting(0, "Seed of the new layer, the batches and the dropout.")
    threads: int | None = setting(None, "Processor threads; all that torch finds when not given.")

    def __post_init__(self) -> None:
        positive: tuple[str, ...] = (
            "epochs",
            "learning_rate",
            "batch_tokens",
            "max_length",
            "patience",
            "threads",
        )
        positive += ("adversarial_steps", "adversarial_size", "adversarial_weight")
        positive += ("lora_scale",)
        for name in positive:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise TrainError(f"{name} is {value}, but has to be above 0.")
        if self.max_length < 8:
            raise TrainError(f"max_length is {self.max_length}, but has to be at least 8 tokens.")
        for name in ("warmup", "dropout", "encoder_dropout", "label_smoothing", "skip_known"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainError(f"{name} is {getattr(self, name)}, but has to be in 0 <= x < 1.")
        for name in ("weight_decay", "clip_norm", "augment", "freeze_layers", "lora_rank"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise TrainError(f"{name} is {getattr(self, name)}, but has to be 0 or more.")
        if not 0 < self.layer_decay <= 1:
            raise TrainError(f"layer_decay is {self.layer_decay}, but has to be in 0 < x <= 1.")
        if self.lora_rank and self.freeze_layers:
            raise TrainError(
                "lora_rank leaves all of the encoder frozen, so freeze_layers has nothing to do.",
                hint="Leave one of them out.",
            )
        choices_of = {
            "class_weights": ClassWeights,
            "lora_modules": LoraModules,
            "precision": Precision,
            "adversarial": Adversarial,
            "casing": Casing,
        }
        for name, choices in choices_of.items():
            if getattr(self, name) not in get_args(choices):
                allowed = ", ".join(get_args(choices))
                raise TrainError(
                    f"{name} is {getattr(self, name)!r}, but has to be one of {allowed}."
                )

    def resolved(self, task: str, tokens: int) -> Recipe:
        """This recipe with nothing left open, for training data of so many tokens in all.

        Batches are 1,024 tokens, less for small data so that an epoch still has some thirty steps;
        epochs are as many as make `STEPS` steps, within the bounds of the task. R-Drop gets dropout
        inside the encoder where there is none; LoRA gets a higher rate.
        """
        batch = self.batch_tokens or max(256, min(1024, round(tokens / 30 / 64) * 64))
        from freehold.tasks.registry import task_of  # brings numpy, which reading a recipe need not

        head = task_of(task).head
        least, most = EPOCHS.get(head, MOST_EPOCHS)
        steps = max(1, tokens / batch)
        rate = LEARNING_RATE.get(head, RATE) * (LORA_FASTER if self.lora_rank else 1)
        return replace(
            self,
            epochs=self.epochs or max(least, min(most, round(STEPS / steps))),
            learning_rate=self.learning_rate or rate,
            batch_tokens=batch,
            encoder_dropout=self.encoder_dropout or RDROP_DROPOUT * (self.adversarial == "rdrop"),
        )

    def document(self) -> dict[str, Any]:
        """The recipe as JSON values, for a version's lineage."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Recipe:
        """The inverse of `document`; raises TrainError for a knob that there is not."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(document) - known):
            raise TrainError(
                f"A recipe has no {unknown[0]!r}.", hint=f"It has {', '.join(sorted(known))}."
            )
        return cls(**document)
