"""The terminal's view: everything that matters is there, and no text of the data is obeyed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from freehold.evaluate.report import Evaluation, evaluate
from freehold.evaluate.terminal import render
from freehold.tasks.types import Dataset, Example, TaggedExample


def shown(evaluation: Evaluation, width: int = 110) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(render(evaluation))
    return out.getvalue()


def classified(labels: list[str], n: int = 200, text: str = "some text") -> Evaluation:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, len(labels), n)
    logits = rng.normal(0, 1, (n, len(labels)))
    logits[np.arange(n), gold] += 3
    examples = [Example(i + 1, text, labels[g]) for i, g in enumerate(gold)]
    data = Dataset(
        Path("dev.csv"), "text-classification", examples, "0" * 64, "csv", "utf-8", {}, False
    )
    return evaluate(data, logits, labels)


def test_a_small_table_is_whole() -> None:
    evaluation = classified(["card", "fee", "loan"])
    text = shown(evaluation)
    assert "dev.csv  200 examples · 3 labels" in text
    for word in ("accuracy", "macro F1", "card", "fee", "loan", "weighted average", "temperature"):
        assert word in text
    assert "the HTML report" not in text
    assert f"{evaluation.scores.accuracy:.3f}" in text
    low, high = evaluation.intervals.metrics["accuracy"]
    assert f"{low:.3f}–{high:.3f}" in text
    assert "Most often confused" in text
    assert "Surest mistakes" in text
    assert "┃" in text


def test_many_labels_are_cut_to_the_worst_and_it_says_so() -> None:
    labels = [f"intent{i:02d}" for i in range(40)]
    evaluation = classified(labels, n=800)
    text = shown(evaluation)
    assert "the 20 of 40 labels with the lowest F1" in text
    rows = sorted(evaluation.scores.per_label.rows, key=lambda row: row.f1)
    table = text.split("Most often confused")[0]
    assert rows[0].label in table
    assert rows[-1].label not in table


def test_a_tagger_shows_entities_before_words() -> None:
    examples = [TaggedExample(1, ("Ada", "wrote"), ("B-PER", "O")), TaggedExample(2, (), ())]
    data = Dataset(
        Path("dev.conll"), "token-classification", examples, "0" * 64, "conll", "utf-8", {}, False
    )
    evaluation = evaluate(
        data, [np.array([[2.0, 0.0], [2.0, 0.0]]), np.zeros((0, 2))], ["O", "B-PER"]
    )
    text = shown(evaluation)
    assert "2 sentences · 2 words · 2 tags" in text
    assert text.index("entity F1") < text.index("Entities") < text.index("Words")
    assert "Note: Only 2 sentences" in text


def test_markup_and_escapes_in_the_data_are_only_text() -> None:
    evaluation = classified(
        ["[red]card[/red]", "fee\x1b[2J"], text="[bold]hi[/nothing]\x1b]0;x\x07"
    )
    text = shown(evaluation)
    assert "[red]card[/red]" in text
    assert "[bold]hi[/nothing]" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_flawless_model_has_no_table_of_confusions() -> None:
    data = Dataset(
        Path("d.csv"), "text-classification", [Example(1, "a", "x")], "0", "csv", "utf-8", {}, False
    )
    text = shown(evaluate(data, [np.array([3.0, 0.0])], ["x", "y"]))
    assert "confused" not in text
    assert "Surest" not in text
    assert "rule of three" in text


def test_a_narrow_terminal_is_no_trouble() -> None:
    assert "accuracy" in shown(classified(["a_rather_long_label" * 4, "b"]), width=40)
