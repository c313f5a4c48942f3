"""A task's inputs and answers as columns, which the Open Inference Protocol calls tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tensor", "Values", "chosen", "findings", "numbers", "scores", "texts", "whole"]

Datatype = Literal["BYTES", "FP32", "INT32", "BOOL"]
Per = Literal["input", "label", "figure", "finding"]
Values = Sequence[str] | NDArray[Any]


@dataclass(frozen=True)
class Tensor:
    """A column of answers.

    It has a value for each input; for each input and label of the model; for each input and figure
    of its vector; or for each finding, of which an input has any number. `of` takes answers and
    labels and gives texts for BYTES, else an array of the column's shape.
    """

    name: str
    datatype: Datatype
    of: Callable[[Sequence[Any], Sequence[str]], Values]
    per: Per = "input"

    def shape(self, labels: Sequence[str]) -> list[int]:
        """As metadata has it: -1 is any number."""
        if self.per == "label":
            return [-1, len(labels)]
        return [-1, -1] if self.per == "figure" else [-1]


def texts(attribute: str, name: str | None = None) -> Tensor:
    """An attribute of answers that is a text."""
    return Tensor(
        name or attribute, "BYTES", lambda answers, _: [getattr(a, attribute) for a in answers]
    )


def numbers(name: str) -> Tensor:
    """An attribute of answers that is a number."""
    return Tensor(
        name, "FP32", lambda answers, _: np.array([getattr(a, name) for a in answers], np.float32)
    )


def whole(name: str) -> Tensor:
    """An attribute of answers that is a whole number."""
    return Tensor(
        name, "INT32", lambda answers, _: np.array([getattr(a, name) for a in answers], np.int32)
    )


def scores() -> Tensor:
    """Of answers with `scores`, each label's in the order of the model's labels."""

    def of(answers: Sequence[Any], labels: Sequence[str]) -> NDArray[np.float32]:
        rows = [dict(answer.scores) for answer in answers]
        return np.array([[row[label] for label in labels] for row in rows], np.float32)

    return Tensor("scores", "FP32", of, "label")


def chosen() -> Tensor:
    """Of answers with `chosen`, which labels are."""

    def of(answers: Sequence[Any], labels: Sequence[str]) -> NDArray[np.bool_]:
        return np.array([[label in one.chosen for label in labels] for one in answers], np.bool_)

    return Tensor("chosen", "BOOL", of, "label")


def findings(attribute: str, *columns: Tensor) -> tuple[Tensor, ...]:
    """Columns of all that stands in an attribute of answers, one after the other, and before them
    which input each is of, as `row`, from 0."""

    def rows(answers: Sequence[Any], _: Sequence[str]) -> NDArray[np.int32]:
        counts = [len(getattr(answer, attribute)) for answer in answers]
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def of(column: Tensor) -> Callable[[Sequence[Any], Sequence[str]], Values]:
        return lambda answers, labels: column.of(
            [found for answer in answers for found in getattr(answer, attribute)], labels
        )

    return (
        Tensor("row", "INT32", rows, "finding"),
        *(replace(column, of=of(column), per="finding") for column in columns),
    )
