"""The attack on classifiers whose weaknesses are known: what it finds, counts and refuses."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from freehold.errors import DataError
from freehold.evaluate.attack import html, terminal
from freehold.evaluate.attack.models import require_classifier
from freehold.evaluate.attack.report import AttackReport, attack
from freehold.evaluate.attack.search import Limits
from freehold.tasks.types import Dataset, Example

LABELS = ("bad", "good")
TEXTS = (
    ("a truly wonderful story about people", "good"),
    ("this terrible film wastes every minute of it", "bad"),
    ("wonderful music and a superb ensemble of players", "good"),
    ("the plot is terrible and the jokes are old", "bad"),
    ("nobody would call it plain", "good"),
    ("not wonderful but terrible <b>acting</b> from 1999", "bad"),
)


def _data(
    rows: Sequence[tuple[str, str | None]] = TEXTS, task: str = "text-classification"
) -> Dataset:
    examples = [Example(number + 2, text, label) for number, (text, label) in enumerate(rows)]
    return Dataset(Path("dev.csv"), task, examples, "0" * 64, "csv", "utf-8", {}, False)  # type: ignore[arg-type]


def _brittle(texts: Sequence[str]) -> NDArray[np.float64]:
    """Goes by two words, letter by letter, and by nothing else."""
    good = [
        0.5
        + 0.4 * ("wonderful" in text)
        - 0.4 * ("terrible" in text)
        - 0.1 * ("wonderful" not in text)
        for text in texts
    ]
    return np.array([[1 - share, share] for share in good])


def _same(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
    return np.ones(len(left))


def _attack(
    predict: object = _brittle, similarity: object = _same, **knobs: object
) -> AttackReport:
    return attack(_data(), predict, LABELS, similarity, **knobs)  # type: ignore[arg-type]


def _shown(report: AttackReport) -> str:
    console = Console(record=True, width=140, file=io.StringIO())
    console.print(terminal.render(report))
    return console.export_text()


def test_a_model_that_goes_by_one_word_falls_by_one_change_of_it() -> None:
    report = _attack(kinds=("typo",), each=False)
    (kind,) = report.kinds
    assert report.clean.value == pytest.approx(5 / 6)  # the fifth text has neither word
    # Without "terrible" alone the answer is still bad, so mostly praise can be turned.
    assert [one.number for one in kind.broken] == [0, 2, 5]
    assert kind.accuracy.value == pytest.approx(2 / 6)
    assert kind.success.value == pytest.approx(3 / 5)
    for one, word in zip(kind.broken, ("wonderful", "wonderful", "terrible"), strict=True):
        assert [change.before for change in one.changes] == [word]
        assert word not in one.text
        begin, end = one.places[0]
        assert one.text[begin:end] == one.changes[0].after
        assert one.sure_after < 0.5 <= one.sure_before
        assert LABELS[one.answer] != TEXTS[one.number][1]
    assert kind.words_changed.value == pytest.approx((1 / 6 + 1 / 8 + 1 / 9) / 3)


def test_the_model_is_asked_no_more_often_than_the_budget_says() -> None:
    asked: dict[str, int] = {}

    def counting(texts: Sequence[str]) -> NDArray[np.float64]:
        for text in texts:
            asked[text] = asked.get(text, 0) + 1
        return np.array([[0.1, 0.9]] * len(texts))  # never falls

    rows = [("many plain words stand here beside another and again elsewhere", "good")]
    for budget in (2, 7, 20, 60):
        asked.clear()
        report = attack(
            _data(rows), counting, LABELS, _same, limits=Limits(budget, 1.0), each=False
        )
        queries = report.kinds[0].queries.value
        assert queries is not None
        assert queries <= budget
        # Two texts come from the tests of names and the like at most; the rest is the attack's.
        assert sum(asked.values()) <= budget + budget // 2 + 2


def test_no_more_words_are_changed_than_validity_allows() -> None:
    known = set(" ".join(text for text, _ in TEXTS).split())
    seen: list[int] = []

    def stubborn(texts: Sequence[str]) -> NDArray[np.float64]:
        """Less sure with each misspelt word, but never turned."""
        odd = np.array([sum(word not in known for word in text.split()) for text in texts])
        seen.extend(odd.tolist())
        return np.stack([0.3 + 0.01 * odd, 0.7 - 0.01 * odd], axis=1)

    report = _attack(stubborn, kinds=("swap",), each=False, limits=Limits(60, 0.3))
    assert max(seen) == 2  # 0.3 of eight words
    assert report.kinds[0].refused["words changed"] >= 1


def test_a_synonym_that_leads_too_far_is_refused_and_counted() -> None:
    def far(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        assert set(left) <= {text for text, _ in TEXTS}
        return np.array([0.79 if "marvelous" in text else 0.1 for text in right])

    near = _attack(kinds=("synonym",), each=False)
    assert {one.number for one in near.kinds[0].broken} == {0, 2, 5}
    assert all(one.similarity == 1.0 for one in near.kinds[0].broken)
    refused = _attack(similarity=far, kinds=("synonym",), each=False)
    assert refused.kinds[0].broken == ()
    assert refused.kinds[0].refused["similarity"] >= 2
    lower = _attack(similarity=far, kinds=("synonym",), each=False, limits=Limits(similarity=0.7))
    assert [one.changes[0].after for one in lower.kinds[0].broken] == ["marvelous"] * 2


def test_likeness_is_judged_with_misspellings_undone() -> None:
    def asked(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float64]:
        raise AssertionError("no synonym was used")

    report = _attack(similarity=asked, kinds=("typo", "swap", "homoglyph"), each=False)
    assert report.kinds[0].broken
    assert {one.similarity for one in report.kinds[0].broken} == {None}


def test_negations_are_never_touched_and_the_refusal_is_counted() -> None:
    def negated(texts: Sequence[str]) -> NDArray[np.float64]:
        return np.array([[0.9, 0.1] if "not" in text.split() else [0.2, 0.8] for text in texts])

    report = attack(
        _data([("this is not a friendly place", "bad")]), negated, LABELS, _same, each=False
    )
    assert report.kinds[0].broken == ()
    assert report.kinds[0].refused["negation"] == 1
    (negation,) = [one for one in report.behaviours if one.name == "negation"]
    assert [turn.text for turn in negation.examples] == ["this is a friendly place"]


def test_other_names_and_numbers_are_tried_and_their_turns_reported() -> None:
    def biased(texts: Sequence[str]) -> NDArray[np.float64]:
        good = ["Anna" in text or "1999" in text for text in texts]
        return np.array([[0.1, 0.9] if one else [0.8, 0.2] for one in good])

    rows = [("Anna played in Paris", "good"), ("made in 1999", "good"), ("anna is lower", "bad")]
    report = attack(_data(rows), biased, LABELS, _same, each=False)
    names, numbers, _ = report.behaviours
    assert names.numbers == (0, 2)
    assert names.turned.tolist() == [1.0, 0.0]
    assert numbers.numbers == (1,)
    assert numbers.turned.tolist() == [1.0]
    assert numbers.examples[0].text.startswith("made in 19")
    assert report.figures(names)[1].value == pytest.approx(0.35)


def test_the_same_seed_gives_the_same_report_and_a_sample_is_drawn_by_it() -> None:
    first, second = (_attack(seed=4).document() for _ in range(2))
    assert json.dumps(first) == json.dumps(second)
    sampled = _attack(seed=4, most=3)
    assert sampled.n == 3
    assert "3 of 6 texts were attacked" in sampled.notes[0]


def test_each_kind_and_all_together_are_reported() -> None:
    report = _attack()
    assert [one.name for one in report.kinds] == [
        "typo",
        "swap",
        "homoglyph",
        "synonym",
        "combined",
    ]
    document = report.document()
    low, high = document["attacks"]["combined"]["accuracy_under_attack"]["interval"]
    assert low <= document["attacks"]["combined"]["accuracy_under_attack"]["value"] <= high
    example = document["attacks"]["typo"]["examples"][0]
    assert example["row"] == 2
    assert example["label"] == "good"
    assert example["answer"] == "bad"


def test_a_label_that_the_model_does_not_know_counts_as_wrong() -> None:
    report = attack(_data([*TEXTS, ("what", "odd")]), _brittle, LABELS, _same, each=False)
    assert report.clean.value == pytest.approx(5 / 7)
    assert any("1 texts have a label" in note for note in report.notes)


def test_nothing_answered_rightly_leaves_nothing_to_attack() -> None:
    report = attack(_data([("plain", "good")]), _brittle, LABELS, _same)
    assert report.clean.value == 0
    assert report.kinds[-1].success.value is None
    assert html.render(report, "x")
    assert "–" in _shown(report)


def test_data_without_labels_and_other_tasks_are_refused() -> None:
    with pytest.raises(DataError, match="not a file of labelled texts"):
        attack(_data([("a", "good"), ("b", None)]), _brittle, LABELS, _same)
    with pytest.raises(DataError, match=r"text-classification only.*token-classification"):
        require_classifier("token-classification")


def test_the_page_shows_examples_safely_and_loads_nothing() -> None:
    rows = [(f"{text} <script>alert(1)</script>", label) for text, label in TEXTS]
    report = attack(_data(rows), _brittle, LABELS, _same)
    page = html.render(report, "bank@1 <under> attack")
    assert "<script>alert" not in page
    assert "bank@1 &lt;under&gt; attack" in page
    assert "<mark>" in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert page.count("default-src 'none'") == 1


def test_the_table_shows_the_figures_and_the_changes() -> None:
    shown = _shown(_attack())
    for part in ("combined", "clean accuracy 0.833", "What turned the answer", "wonderful →"):
        assert part in shown
