"""Markdown as text: what users wrote is escaped, tables and front matter are put together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["code", "escape", "front_matter", "table", "without_front_matter"]

# All that begins something in CommonMark, GitHub's tables, strike-through and formulas.
_MARKS = re.compile(r"([\\`*_\[\]<>|~&#$])")
_JOINERS = "\u200c\u200d"  # words of some scripts and some emoji are not what they are without them
# What a YAML reader refuses inside quotes, and JSON leaves as it is.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")


def escape(text: str) -> str:
    """A user's text as one line that shows as it stands, wherever it does not begin a line."""
    return _MARKS.sub(r"\\\1", _line(text))


def code(text: str) -> str:
    """A text as a code span; its own backticks are told from the span's."""
    line = _line(text)
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table; the first column to the left, the others to the right. Cells are
    Markdown."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]


def front_matter(fields: Mapping[str, Any]) -> str:
    """YAML between two lines of ---: mappings and lists of mappings as blocks, the rest as JSON,
    which is YAML too."""
    return "\n".join(["---", *_block(fields), "---"])


def without_front_matter(markdown: str) -> str:
    """What stands below the front matter."""
    return re.sub(r"\A---\n.*?\n---\n+", "", markdown, count=1, flags=re.DOTALL)


def _line(text: str) -> str:
    kept = (c if c.isprintable() or c in _JOINERS else " " for c in text)
    return "".join(kept).strip() or " "


def _block(fields: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in fields.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{name}:", *_block(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            lines.append(f"{indent}{name}:")
            for item in value:
                first, *rest = _block(item, indent + "  ")
                lines += [f"{indent}- {first.lstrip()}", *rest]
        else:
            lines.append(f"{indent}{name}: {_scalar(value)}")
    return lines


def _scalar(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
