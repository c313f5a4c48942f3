"""Which columns a task reads: their roles, the names that say so, and what a cell may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CONTEXT", "LABEL", "LABELS", "QUESTION", "SCORE", "TEXT", "TEXT_A", "TEXT_B", "Role"]

Cell = Literal["text", "label", "labels", "number", "answers", "words", "tags"]


@dataclass(frozen=True, slots=True)
class Role:
    """A column's part: its name in `Dataset.columns`, what its cells hold, and the column names
    that say so, the better first. `target` marks what a file without labels lacks."""

    name: str
    cell: Cell
    names: tuple[str, ...]
    target: bool = False


TEXT = Role("text", "text", ("text", "sentence", "content", "input", "document", "essay", "文本"))
TEXT_A = Role(
    "text_a",
    "text",
    ("text_a", "sentence1", "sentence_a", "text1", "premise", "question1", "query", "source"),
)
TEXT_B = Role(
    "text_b",
    "text",
    ("text_b", "sentence2", "sentence_b", "text2", "hypothesis", "question2", "answer", "target"),
)
QUESTION = Role("question", "text", ("question", "query", "问题"))
CONTEXT = Role("context", "text", ("context", "passage", "document", "paragraph", "text", "上下文"))
LABEL = Role("label", "label", ("label", "class", "category", "标签"), target=True)
LABELS = Role(
    "labels", "labels", ("labels", "label", "tags", "intents", "categories", "标签"), target=True
)
SCORE = Role(
    "score",
    "number",
    ("score", "similarity", "rating", "grade", "value", "target", "label", "分数"),
    target=True,
)
