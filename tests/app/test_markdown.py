"""Text of users in Markdown: it shows as it was written, and YAML reads what is in front."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from freehold.app.markdown import code, escape, front_matter, table, without_front_matter

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from(" \\`|*_<&"))


def _shown(html: str, tag: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    assert found is not None, html
    assert "<" not in found[1]  # nothing in it was taken for markup
    return unescape(found[1])


@given(TEXTS)
def test_an_escaped_text_shows_as_it_was_written(text: str) -> None:
    shown = _shown(READER.render(f"Of {escape(text)} it is said."), "p")
    assert shown == f"Of {text.strip() or ' '} it is said."


@given(TEXTS)
def test_it_does_in_a_cell_too(text: str) -> None:
    lines = table(("label", "n"), [(escape(text), "1")])
    html = READER.render("\n".join(lines))
    assert html.count("<td") == 2
    assert _shown(html, "td") == text.strip()


@given(TEXTS)
def test_a_code_span_holds_it_whole(text: str) -> None:
    shown = _shown(READER.render(f"See {code(text)}."), "code")
    assert shown.strip() == (text.strip() or " ").strip()


@pytest.mark.parametrize(
    "text",
    ["<script>alert(1)</script>", "[a](javascript:x)", "**b**", "a\n# b", "a\x1b[31m", "\u202eabc"],
)
def test_nothing_that_acts_comes_through(text: str) -> None:
    shown = escape(text)
    assert "\n" not in shown
    assert all(c.isprintable() for c in shown)
    assert re.search(r"<(?!p>|/p>)", READER.render(f"A {shown}")) is None


@given(st.dictionaries(st.from_regex(r"x_[a-z]{1,8}", fullmatch=True), st.text() | st.integers()))
def test_front_matter_is_yaml(fields: dict[str, Any]) -> None:
    fields |= {"tags": ["a: b", "- c"], "nested": [{"a": {"b": "c"}, "d": [{"e": 1.5}]}]}
    text = front_matter(fields)
    assert yaml.safe_load(text.removeprefix("---\n").removesuffix("\n---")) == fields
    assert without_front_matter(f"{text}\n\n# Title\n---\n") == "# Title\n---\n"
