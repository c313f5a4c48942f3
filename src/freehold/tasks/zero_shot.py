"""Zero-shot classification: labels that a request names, by a model that was not trained on them.

Each label makes a sentence (a hypothesis), and a model that knows what follows from a text, or how
alike two texts are, says how well it fits (Yin et al. 2019, "Benchmarking Zero-shot Text
Classification", section 4). The request and its answer are those of Hugging Face.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from freehold.errors import InputError
from freehold.tasks.answers import softmax
from freehold.tasks.shapes import LabelScore, Wire

__all__ = ["ASKED_BY", "ByCosine", "ByEntailment", "Labelling", "ZeroShot"]

KIND = "zero-shot-classification"
ASKED_BY = "candidate_labels"  # the parameter that makes a request one of these
_TEMPLATE = "This example is {}."
# What the loss of sentence-embedding multiplies cosines by: so far apart they were learnt to be.
_SCALE = 20.0


class Labelling(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of a zero-shot request."""

    candidate_labels: Annotated[
        list[str], Meta(min_length=1, description="the labels to choose from")
    ]
    multi_label: Annotated[
        bool | None,
        Meta(description="true: each label's score is its own; else they add up to 1"),
    ] = None
    hypothesis_template: Annotated[
        Annotated[str, Meta(pattern=r"\{\}")] | None,
        Meta(description=f"the sentence made of a label, with {{}} in its place; {_TEMPLATE!r}"),
    ] = None

    def hypotheses(self) -> list[str]:
        """A sentence a label."""
        template = self.hypothesis_template or _TEMPLATE
        return [template.replace("{}", label) for label in self.candidate_labels]


class ZeroShot(ABC):
    """How a task's model is asked about labels it does not have."""

    kind = KIND
    parameters = Labelling
    wire = Wire(
        one=str,
        answers=(list[LabelScore], list[list[LabelScore]]),
        examples=(
            (
                "where is my card",
                [{"label": "delivery", "score": 0.8}, {"label": "price", "score": 0.2}],
            ),
        ),
        parameters={ASKED_BY: ["price", "delivery"]},
    )

    @abstractmethod
    def inputs(self, texts: Sequence[str], asked: Labelling, labels: Sequence[str]) -> list[Any]:
        """What the model is given; `labels` are its own. Raises InputError where it has none that
        would tell."""

    @abstractmethod
    def scores(self, answers: Sequence[Any], texts: int, asked: Labelling) -> NDArray[np.float64]:
        """(texts, candidates), of the answers to `inputs`."""

    def render(
        self, answers: Sequence[Any], texts: int, asked: Labelling, form: Literal["single", "list"]
    ) -> Any:
        """For each text the labels with their scores, the likeliest first; of a single text the
        list itself."""
        rows = [
            [
                {"label": asked.candidate_labels[place], "score": float(row[place])}
                for place in np.argsort(-row, kind="stable").tolist()
            ]
            for row in self.scores(answers, texts, asked)
        ]
        return rows[0] if form == "single" else rows


class ByEntailment(ZeroShot):
    """By a model that says of two texts whether one follows from the other: every text with every
    hypothesis is a pair, which is read and metered as an input."""

    def inputs(
        self, texts: Sequence[str], asked: Labelling, labels: Sequence[str]
    ) -> list[tuple[str, str]]:
        if _entailment(labels) is None:
            raise InputError(
                f"This model has no label entailment, but {', '.join(labels)[:200]}.",
                hint="Ask one that was trained on entailment, or leave candidate_labels out.",
            )
        hypotheses = asked.hypotheses()
        return [(text, hypothesis) for text in texts for hypothesis in hypotheses]

    def scores(self, answers: Sequence[Any], texts: int, asked: Labelling) -> NDArray[np.float64]:
        """With `multi_label` the chance of entailment against contradiction; else that of
        entailment, as a share of the sum over all labels."""
        names = [label for label, _ in answers[0].scores]
        yes, no = _entailment(names), _contradiction(names)
        chances = [dict(answer.scores) for answer in answers]
        follows = np.array([chance[yes] for chance in chances], np.float64)
        if asked.multi_label:
            other = [1 - chance[yes] if no is None else chance[no] for chance in chances]
            return _shares(np.stack([follows, np.array(other)], axis=1))[:, 0].reshape(texts, -1)
        return _shares(follows.reshape(texts, -1))


class ByCosine(ZeroShot):
    """By vectors of texts and hypotheses: each is read and metered once."""

    def inputs(self, texts: Sequence[str], asked: Labelling, labels: Sequence[str]) -> list[str]:
        return [*texts, *asked.hypotheses()]

    def scores(self, answers: Sequence[Any], texts: int, asked: Labelling) -> NDArray[np.float64]:
        """With `multi_label` the cosine, at least 0; else a softmax of 20 times the cosines."""
        vectors = np.stack([answer.vector for answer in answers]).astype(np.float64)
        cosines = vectors[:texts] @ vectors[texts:].T
        if asked.multi_label:
            return np.clip(cosines, 0.0, 1.0)
        return softmax(_SCALE * cosines)


def _entailment(labels: Sequence[str]) -> str | None:
    """The label that says that the second text follows from the first."""
    return next((label for label in labels if label.lower().startswith("entail")), None)


def _contradiction(labels: Sequence[str]) -> str | None:
    return next((label for label in labels if label.lower().startswith("contra")), None)


def _shares(parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each part of its row's sum; all alike where that is 0."""
    sums = parts.sum(1, keepdims=True)
    alike = np.full_like(parts, 1 / parts.shape[1])
    shares: NDArray[np.float64] = np.divide(parts, sums, out=alike, where=sums > 0)
    return shares
