"""What the data stage hands on: examples with the row they came from, and the file's identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from freehold.tasks.lines import with_lines

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
    "has_lines",
]

Task = str  # a task's kind: the name of one of the files in freehold.tasks, with hyphens


@dataclass(frozen=True, slots=True)
class Example:
    """A text and its label (None in a file without labels). `row` is the line a person would look
    at: the line of the file where the record starts, 1-based, header included (XLSX, Parquet: the
    row).

    All examples have `input`, what a model is given; `text`, what a person is shown; and `target`,
    what the model should answer (None where nothing is known).
    """

    row: int
    text: str
    label: str | None = None

    @property
    def input(self) -> str:
        return self.text

    @property
    def target(self) -> str | None:
        return self.label


@dataclass(frozen=True, slots=True)
class TaggedExample:
    """A sentence as words, with one BIO tag a word (None in a file without labels). Where it has
    several lines, `breaks` are the words that begin another one; a model is given "\n" there."""

    row: int
    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None = None
    breaks: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(self.tokens)

    @property
    def input(self) -> tuple[str, ...]:
        return with_lines(self.tokens, self.breaks)

    @property
    def target(self) -> tuple[str, ...] | None:
        return self.tags

    @property
    def lined_tags(self) -> tuple[str, ...] | None:
        """One for each word of `input`."""
        return None if self.tags is None else with_lines(self.tags, self.breaks, "O")


@dataclass(frozen=True, slots=True)
class LabelsExample:
    """A text and all labels that fit it, perhaps none (None in a file without labels)."""

    row: int
    text: str
    labels: tuple[str, ...] | None = None

    @property
    def input(self) -> str:
        return self.text

    @property
    def target(self) -> tuple[str, ...] | None:
        return self.labels


@dataclass(frozen=True, slots=True)
class ScoredExample:
    """A text and a number (None in a file without)."""

    row: int
    text: str
    score: float | None = None

    @property
    def input(self) -> str:
        return self.text

    @property
    def target(self) -> float | None:
        return self.score


@dataclass(frozen=True, slots=True)
class PairExample:
    """Two texts, and what holds between them: a label or a number."""

    row: int
    text_a: str
    text_b: str
    label: str | None = None
    score: float | None = None

    @property
    def text(self) -> str:
        return f"{self.text_a} ‖ {self.text_b}"

    @property
    def input(self) -> tuple[str, str]:
        return self.text_a, self.text_b

    @property
    def target(self) -> str | float | None:
        return self.score if self.label is None else self.label


@dataclass(frozen=True, slots=True)
class QuestionExample:
    """A question to a context, and the answers that stand in it as (text, first character): all
    that count as right, none where the context does not say it (None in a file without)."""

    row: int
    question: str
    context: str
    answers: tuple[tuple[str, int], ...] | None = None

    @property
    def text(self) -> str:
        return f"{self.question} ‖ {self.context}"

    @property
    def input(self) -> tuple[str, str]:
        return self.question, self.context

    @property
    def target(self) -> tuple[tuple[str, int], ...] | None:
        return self.answers


AnyExample = Example | TaggedExample | LabelsExample | ScoredExample | PairExample | QuestionExample


def has_lines(examples: Sequence[AnyExample]) -> bool:
    """Whether any of them has several lines, so that who learns from them is shown where one
    ends."""
    return any(isinstance(example, TaggedExample) and example.breaks for example in examples)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file's examples, all of one kind, with how it was read."""

    path: Path
    task: Task
    examples: Sequence[AnyExample]
    sha256: str
    format: str  # csv, tsv, jsonl, parquet, xlsx, conll, txt
    encoding: str  # the codec's name; "binary" for parquet and xlsx
    columns: dict[str, str]  # role ("text", "label", "tokens", "tags" …) -> column in the file
    inferred: bool  # whether the columns were inferred from their names and content
    notes: tuple[str, ...] = ()  # what was concluded or converted while reading, in sentences
    repaired: tuple[int, ...] = ()  # rows where an I- tag that no B- tag begins was read as B-

    def __len__(self) -> int:
        return len(self.examples)

    def labels(self) -> list[str]:
        """Every label (for token-classification: every tag, "O" first), sorted; none where the
        answers are numbers or parts of a text."""
        found: set[str] = set()
        tagged = False
        for example in self.examples:
            match example:
                case Example(label=str(label)) | PairExample(label=str(label)):
                    found.add(label)
                case TaggedExample():
                    tagged = True
                    found.update(example.tags or ())
                case LabelsExample():
                    found.update(example.labels or ())
                case _:
                    pass
        if tagged:
            return sorted(found, key=lambda tag: (tag != "O", tag[2:], tag))
        return sorted(found)
