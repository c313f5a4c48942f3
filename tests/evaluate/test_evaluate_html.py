"""The HTML report: self-contained, well-formed, and deaf to markup in the data."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from freehold.evaluate.charts import heat_map, pick_labels
from freehold.evaluate.html import render
from freehold.evaluate.report import Evaluation, evaluate
from freehold.tasks.types import Dataset, Example, TaggedExample

EVIL = '<script>alert("x")</script><img src=x onerror=alert(1)>'
VOID = {"meta", "br", "input", "link", "img"}


class Page(HTMLParser):
    """Collects the tags and checks that each is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def classified(labels: list[str], text: str = "some text", n: int = 120) -> Evaluation:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, len(labels), n)
    logits = rng.normal(0, 1, (n, len(labels)))
    logits[np.arange(n), gold] += 2
    examples = [Example(i + 1, text, labels[g]) for i, g in enumerate(gold)]
    data = Dataset(
        Path("dev.csv"), "text-classification", examples, "0" * 64, "csv", "utf-8", {}, False
    )
    return evaluate(data, logits, labels)


def tagged(token: str = "Ada", tag: str = "B-PER") -> Evaluation:
    examples = [TaggedExample(1, (token, "wrote", "it"), (tag, "O", "O"))]
    data = Dataset(
        Path("d.conll"), "token-classification", examples, "0" * 64, "conll", "utf-8", {}, False
    )
    return evaluate(data, [np.array([[2.0, 0.0]] * 3)], ["O", tag])


def test_the_page_is_whole_and_asks_for_nothing_outside() -> None:
    text = render(classified(["card", "fee", "loan"]), title="bank@1")
    page = Page(text)
    assert page.open == []
    assert page.tags.count("script") == 1
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name in {"src", "srcset", "action"}]
    assert all((value or "").startswith("#") for name, value in page.attributes if name == "href")
    assert "url(" not in text
    assert "@import" not in text
    assert "http:" not in text
    assert "https:" not in text
    assert "<title>bank@1</title>" in text
    assert "prefers-color-scheme: dark" in text


def test_every_section_is_there() -> None:
    text = render(classified(["card", "fee", "loan"]), title="t")
    for name in ("Labels", "Confusion", "Calibration", "Surest mistakes"):
        assert f"<h2>{name}</h2>" in text
    assert "<h2>Entities</h2>" not in text
    assert text.count('class="reliability"') == 2
    assert text.count('class="heat"') == 1
    assert text.count('class="bar"') == 3
    page = render(tagged(), title="t")
    assert "<h2>Entities</h2>" in page
    assert "<h2>Words</h2>" in page
    assert "<mark>Ada</mark> wrote it" in page
    assert Page(page).open == []


def test_markup_in_texts_labels_words_and_titles_is_shown_and_not_run() -> None:
    pages = [
        render(classified([EVIL, "fee", '" onmouseover="alert(1)'], text=EVIL), title=EVIL),
        render(tagged(token=EVIL, tag=f"B-{EVIL}"), title="</title><script>alert(1)</script>"),
    ]
    for text in pages:
        page = Page(text)
        assert page.tags.count("script") == 1
        assert "img" not in page.tags
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in text
        assert page.open == []


def test_the_policy_allows_the_pages_own_script_and_no_other() -> None:
    text = render(classified(["a", "b"]), title="t")
    script = re.search(r"<script>(.*)</script>", text, re.DOTALL)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    assert f"script-src 'sha256-{digest}'" in policy[1]


def test_the_page_can_be_written_whatever_the_data_hold() -> None:
    text = render(classified(["a\udcff", "b\x00"], text="x\ud800 \x1b \u202e"), title="t\udc80")
    text.encode("utf-8")
    assert "\x1b" not in text
    assert "\x00" not in text


def test_the_same_evaluation_gives_the_same_page() -> None:
    labels = ["a", "b", "c"]
    assert render(classified(labels), title="t") == render(classified(labels), title="t")


def test_a_heat_map_stays_legible_at_77_labels() -> None:
    labels = [f"label_number_{i}" for i in range(77)]
    text = heat_map(
        labels, np.eye(77, dtype=np.int64) * 12, pick_labels(np.eye(77, dtype=np.int64))
    )
    assert text.count("<rect class=") == 1 + 2 + 77  # the plot, the cross-hairs, a cell a label
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', text)]
    assert min(sizes) >= 8
    assert "label_number_76 answered as label_number_76: 12 of 12 (100.0%)" in text


def test_beyond_a_hundred_labels_the_worst_are_shown_and_it_says_so() -> None:
    evaluation = classified([f"l{i}" for i in range(130)], n=400)
    shown = pick_labels(evaluation.scores.confusion)
    assert len(shown) == 100
    assert shown == sorted(shown)
    wrong = evaluation.scores.confusion.copy()
    np.fill_diagonal(wrong, 0)
    errors = wrong.sum(axis=0) + wrong.sum(axis=1)
    assert min(errors[shown]) >= max(np.delete(errors, shown))
    assert "Of 130 labels the 100 with the most errors are shown" in render(evaluation, title="t")


@pytest.mark.parametrize("labels", [["only"], ["a", "b"]])
def test_a_flawless_model_has_a_page_without_mistakes(labels: list[str]) -> None:
    data = Dataset(
        Path("d.csv"),
        "text-classification",
        [Example(1, "t", labels[0])],
        "0",
        "csv",
        "",
        {},
        False,
    )
    text = render(evaluate(data, [np.eye(len(labels))[0]], labels), title="t")
    assert "Surest mistakes" not in text
    assert "Most often confused" not in text
    assert Page(text).open == []
