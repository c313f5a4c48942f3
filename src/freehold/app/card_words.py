"""What model cards call tasks, methods and bases, in our words and in the Hub's."""

from __future__ import annotations

import re
from pathlib import Path, PurePath

__all__ = ["METHODS", "PIPELINES", "TASKS", "hub_name", "shown_base"]

# https://huggingface.co/docs/hub/models-tasks; the Hub has no tag for several labels, for numbers
# or for two texts, and files them under text classification.
PIPELINES = {
    "text-classification": "text-classification",
    "multi-label-classification": "text-classification",
    "pair-classification": "text-classification",
    "regression": "text-classification",
    "pair-scoring": "text-classification",
    "token-classification": "token-classification",
    "question-answering": "question-answering",
    "sentence-embedding": "sentence-similarity",
    "masked-lm": "feature-extraction",  # the encoder is kept, to start from
    "causal-lm": "text-generation",
}

TASKS = {
    "text-classification": "Gives a text one label of several.",
    "multi-label-classification": "Gives a text all labels that fit it.",
    "pair-classification": "Says what holds between two texts, by one label of several.",
    "regression": "Gives a text a number.",
    "pair-scoring": "Gives two texts a number.",
    "token-classification": "Finds entities in a text.",
    "question-answering": "Finds the answer to a question in a text.",
    "sentence-embedding": "Gives a text a vector; texts that mean alike have vectors alike.",
    "masked-lm": "An encoder to start from, trained to guess hidden words.",
    "causal-lm": "A decoder to start from, trained to guess the next token.",
}

METHODS = {
    "fine-tune": "an encoder and a new layer learnt together from labelled texts",
    "fine-tuned": "an encoder and a new layer learnt together from labelled texts",
    "transfer": "the encoder of an earlier version, and a new layer, learnt from labelled texts",
    "harden": "learnt from labelled texts and from harder versions of them",
    "few-shot": "learnt from few examples of each label, by contrast and then a layer on top",
    "distil": "a small student, taught to answer as a larger version does",
    "distilled": "a small student, taught to answer as a larger version does",
    "search": "the best of several recipes tried within a budget",
    "pretrain": "a checkpoint gone on with on texts without labels",
    "tfidf": "weighted counts of word pieces and a linear layer",
    "static": "a table of token vectors made from an encoder, and a new layer",
    "frozen": "a linear layer on an encoder that stays as it is",
}

# Bases that have a name of their own here.
_KNOWN = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def hub_name(base: str) -> str | None:
    """The base's name on the Hub, None for a folder of one's own."""
    if base in _KNOWN:
        return _KNOWN[base]
    return base if _HUB_ID.fullmatch(base) and not Path(base).is_dir() else None


def shown_base(base: str) -> str:
    """As a card names it: of a folder only its name, as where it lies is nobody's business."""
    return base if hub_name(base) else PurePath(base).name
