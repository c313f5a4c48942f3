"""What the data stage hands on: examples with the row they came from, and the file's identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["TASKS", "Dataset", "Example", "TaggedExample", "Task"]

Task = Literal["text-classification", "token-classification"]
TASKS: tuple[Task, ...] = ("text-classification", "token-classification")


@dataclass(frozen=True, slots=True)
class Example:
    """A text and its label (None in a file without labels). `row` is the line a person would look
    at: the line of the file where the record starts, 1-based, header included (XLSX, Parquet: the
    row)."""

    row: int
    text: str
    label: str | None = None


@dataclass(frozen=True, slots=True)
class TaggedExample:
    """A sentence as words, with one BIO tag a word (None in a file without labels)."""

    row: int
    tokens: tuple[str, ...]
    tags: tuple[str, ...] | None = None

    @property
    def text(self) -> str:
        return " ".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A file's examples, all of one kind, with how it was read."""

    path: Path
    task: Task
    examples: Sequence[Example] | Sequence[TaggedExample]
    sha256: str
    format: str  # csv, tsv, jsonl, parquet, xlsx, conll, txt
    encoding: str  # the codec's name; "binary" for parquet and xlsx
    columns: dict[str, str]  # role ("text", "label", "tokens", "tags") -> column in the file
    inferred: bool  # whether the columns were inferred from their names and content
    notes: tuple[str, ...] = ()  # what was concluded or converted while reading, in sentences
    repaired: tuple[int, ...] = ()  # rows where an I- tag that no B- tag begins was read as B-

    def __len__(self) -> int:
        return len(self.examples)

    def labels(self) -> list[str]:
        """Every label (for token-classification: every tag, "O" first), sorted."""
        if self.task == "token-classification":
            tags = {t for e in self.examples for t in (getattr(e, "tags", None) or ())}
            return sorted(tags, key=lambda tag: (tag != "O", tag[2:], tag))
        return sorted(
            {e.label for e in self.examples if isinstance(e, Example) and e.label is not None}
        )
