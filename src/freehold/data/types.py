"""The types that the data stage hands on; they stand with the tasks, which describe them."""

from freehold.tasks.types import (
    AnyExample,
    Dataset,
    Example,
    LabelsExample,
    PairExample,
    QuestionExample,
    ScoredExample,
    TaggedExample,
    Task,
)

__all__ = [
    "AnyExample",
    "Dataset",
    "Example",
    "LabelsExample",
    "PairExample",
    "QuestionExample",
    "ScoredExample",
    "TaggedExample",
    "Task",
]
