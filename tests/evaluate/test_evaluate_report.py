"""The whole evaluation of a data set: its document, and what it does with odd input."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from freehold.errors import DataError
from freehold.evaluate.report import Evaluation, evaluate
from freehold.tasks.types import Dataset, Example, TaggedExample

LABELS = ["card", "fee", "loan"]
TAGS = ["O", "B-PER", "I-PER"]


def texts(*rows: tuple[str, str | None]) -> Dataset:
    examples = [Example(i + 2, text, label) for i, (text, label) in enumerate(rows)]
    return Dataset(
        Path("some/dev.csv"), "text-classification", examples, "ab" * 32, "csv", "utf-8", {}, False
    )


def sentences(*rows: tuple[Sequence[str], Sequence[str] | None]) -> Dataset:
    examples = [
        TaggedExample(i + 1, tuple(tokens), None if tags is None else tuple(tags))
        for i, (tokens, tags) in enumerate(rows)
    ]
    return Dataset(
        Path("dev.conll"), "token-classification", examples, "cd" * 32, "conll", "utf-8", {}, False
    )


def says(label: int, sure: float = 3.0, size: int = 3) -> np.ndarray:
    """Logits for one label."""
    return np.where(np.arange(size) == label, sure, 0.0).astype(np.float32)


@pytest.fixture
def classified() -> Evaluation:
    data = texts(
        ("where is my card", "card"),
        ("what does it cost", "fee"),
        ("a loan please", "loan"),
        ("my card costs too much", "fee"),
        ("is there a fee", "fee"),
    )
    answers = [says(0), says(1), says(2), says(0, 9.0), says(0, 1.0)]
    return evaluate(data, answers, LABELS)


@pytest.fixture
def tagged() -> Evaluation:
    data = sentences(
        (("Ada", "Lovelace", "wrote"), ("B-PER", "I-PER", "O")),
        ((), ()),
        (("to", "Mary", "."), ("O", "B-PER", "O")),
    )
    answers = [np.stack([says(1), says(2), says(0)]), np.zeros((0, 3)), np.stack([says(0)] * 3)]
    return evaluate(data, answers, TAGS)


def test_the_document_of_a_classifier(classified: Evaluation) -> None:
    document = classified.document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["n"], document["words"]) == (5, None)
    assert document["accuracy"] == document["micro_f1"] == pytest.approx(3 / 5)
    assert document["macro_f1"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert document["weighted_f1"] == pytest.approx((0.5 + 3 * 0.5 + 1) / 5)
    assert document["entity_f1"] is None
    assert document["entities"] is None
    assert set(document["intervals"]) == {"accuracy", "micro_f1", "macro_f1", "weighted_f1"}
    assert document["bootstrap"] == {"level": 0.95, "resamples": 1000, "seed": 0}
    assert list(document["per_label"]) == LABELS
    fee = document["per_label"]["fee"]
    assert (fee["precision"], fee["support"], fee["predicted"]) == (1, 3, 1)
    assert fee["recall"] == pytest.approx(1 / 3)
    assert len(fee["f1_interval"]) == 2
    assert document["averages"]["macro"]["support"] == 5
    assert document["confusion"] == {"labels": LABELS, "matrix": [[1, 0, 0], [2, 1, 0], [0, 0, 1]]}
    assert document["confusions"] == [
        {"gold": "fee", "predicted": "card", "count": 2, "share": pytest.approx(2 / 3)}
    ]
    assert document["unknown_labels"] == []


def test_the_surest_mistake_comes_first_with_its_line(classified: Evaluation) -> None:
    first, second = classified.document()["errors"]
    assert (first["row"], first["text"]) == (5, "my card costs too much")
    assert (first["gold"], first["predicted"], first["span"]) == ("fee", "card", None)
    assert 1 > first["confidence"] > second["confidence"] > 1 / 3


def test_the_calibration_in_the_document(classified: Evaluation) -> None:
    found = classified.document()["calibration"]
    assert found["method"] == "cross-fitted"
    assert len(found["fold_temperatures"]) == 2
    assert len(found["bins"]) == len(found["bins_before"]) == 15
    assert set(found["bins"][0]) == {"low", "high", "n", "confidence", "accuracy"}
    assert sum(one["n"] for one in found["bins"]) == 5
    assert {"temperature", "ece_before", "ece_after", "brier_before", "brier_after"} <= set(found)


def test_the_document_of_a_tagger(tagged: Evaluation) -> None:
    document = tagged.document()
    assert json.loads(json.dumps(document, allow_nan=False))
    assert (document["n"], document["words"]) == (3, 6)
    assert document["accuracy"] == document["micro_f1"] == pytest.approx(5 / 6)
    assert document["entity_f1"] == pytest.approx(2 / 3)
    assert set(document["intervals"]) == {
        "accuracy",
        "micro_f1",
        "macro_f1",
        "weighted_f1",
        "entity_f1",
    }
    assert document["entities"]["scheme"] == "conlleval"
    person = document["entities"]["per_type"]["PER"]
    assert (person["precision"], person["recall"], person["support"]) == (1, 0.5, 2)
    assert document["entities"]["averages"]["micro"]["f1"] == document["entity_f1"]
    (mistake,) = document["errors"]
    assert (mistake["row"], mistake["text"]) == (3, "to Mary .")
    begin, end = mistake["span"]
    assert mistake["text"][begin:end] == "Mary"


def test_a_sentence_is_listed_once_however_many_of_its_words_are_wrong() -> None:
    data = sentences((("Ada", "Lovelace"), ("B-PER", "I-PER")))
    found = evaluate(data, [np.stack([says(0, 2.0), says(0, 5.0)])], TAGS)
    (mistake,) = found.mistakes
    assert mistake.gold == "I-PER"


def test_a_given_temperature_is_used_and_said_to_be_given() -> None:
    data = texts(("a", "card"), ("b", "fee"))
    found = evaluate(data, [says(0), says(0)], LABELS, temperature=2.0)
    assert (found.calibration.temperature, found.calibration.method) == (2.0, "given")
    confidence = math.exp(1.5) / (math.exp(1.5) + 2)
    assert found.mistakes[0].confidence == pytest.approx(confidence)
    assert any("was given" in note for note in found.notes)
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="above 0"):
            evaluate(data, [says(0), says(0)], LABELS, temperature=bad)


def test_labels_the_model_lacks_are_errors_with_a_note_and_their_lines() -> None:
    data = texts(("a", "card"), ("b", "gift"), ("c", "gift"), ("d", "visa"))
    found = evaluate(data, [says(0)] * 4, LABELS)
    document = found.document()
    assert document["accuracy"] == 0.25
    assert document["unknown_labels"] == [
        {"label": "gift", "count": 2, "rows": [3, 4]},
        {"label": "visa", "count": 1, "rows": [5]},
    ]
    assert document["confusion"]["labels"] == [*LABELS, "gift", "visa"]
    assert [error["gold"] for error in document["errors"]] == ["gift", "gift", "visa"]
    assert any("3 examples have a label the model does not know" in n for n in found.notes)
    assert any("2 labels of the model never occur here" in n for n in found.notes)


def test_no_label_known_at_all_is_still_a_report() -> None:
    found = evaluate(texts(("a", "x"), ("b", "y")), [says(0), says(1)], LABELS)
    assert found.scores.accuracy == 0
    assert found.calibration.temperature == 1.0


def test_a_flawless_model_is_told_what_that_does_not_prove() -> None:
    found = evaluate(texts(*[("a", "card")] * 150), [says(0)] * 150, LABELS)
    assert any("as high as 2.0%" in note for note in found.notes)
    assert found.intervals.metrics["accuracy"] == (1, 1)
    assert not any("Only" in note for note in found.notes)


def test_a_single_example_is_enough() -> None:
    found = evaluate(texts(("a", "card")), [says(0)], LABELS)
    assert found.calibration.method == "in-sample"
    assert any("Only 1 example:" in note for note in found.notes)
    json.dumps(found.document(), allow_nan=False)


def test_no_entity_anywhere_is_zero_by_convention_and_said() -> None:
    data = sentences((("a", "b"), ("O", "O")))
    found = evaluate(data, [np.stack([says(0), says(0)])], TAGS)
    assert found.scores.entity_f1 == 0
    assert found.intervals.metrics["entity_f1"] == (0, 0)
    assert any("no entity" in note for note in found.notes)


def test_words_that_were_cut_off_keep_their_certain_o() -> None:
    cut = np.array([0, -np.inf, -np.inf], dtype=np.float32)
    data = sentences((("Ada", "wrote", "Ada"), ("B-PER", "O", "B-PER")))
    found = evaluate(data, [np.stack([says(1), says(0), cut])], TAGS)
    assert found.scores.accuracy == pytest.approx(2 / 3)
    assert found.mistakes[0].confidence == 1
    json.dumps(found.document(), allow_nan=False)


def test_the_same_input_gives_the_same_document(classified: Evaluation) -> None:
    data = texts(("a", "card"), ("b", "fee"), ("c", "fee"))
    answers = np.stack([says(0), says(1), says(0)])
    once = evaluate(data, answers, LABELS, seed=3).document()
    assert once == evaluate(data, list(answers), LABELS, seed=3).document()
    assert once["bootstrap"]["seed"] == 3


@pytest.mark.parametrize(
    ("data", "answers", "message"),
    [
        (texts(), [], "holds no example"),
        (texts(("a", "card")), [], "holds 1 examples and the model answered 0"),
        (texts(("a", "card"), ("b", None)), [says(0)] * 2, "line 3: the example has no label"),
        (texts(("a", "card")), [says(0, size=4)], r"line 2: .* the shape \(4,\), not \(3,\)"),
        (texts(("a", "card")), [says(0, math.nan)], "line 2: .* not a finite number"),
        (texts(("a", "card")), [says(0, math.inf)], "line 2: .* not a finite number"),
        (sentences(((), ())), [np.zeros((0, 3))], "holds no words"),
        (sentences((("a",), None)), [np.zeros((1, 3))], "line 1: the example has no label"),
        (sentences((("a",), ("O", "O"))), [np.zeros((1, 3))], "line 1: 1 words have 2 tags"),
        (sentences((("a",), ("O",))), [np.zeros((2, 3))], r"the shape \(2, 3\), not \(1, 3\)"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_sentence(
    data: Dataset, answers: list[np.ndarray], message: str
) -> None:
    labels = LABELS if data.task == "text-classification" else TAGS
    with pytest.raises(DataError, match=message) as caught:
        evaluate(data, answers, labels)
    assert caught.value.hint


def test_long_and_wild_texts_become_short_plain_excerpts() -> None:
    wild = "a\x1b[31m\u202eb\n\tc " + "word " * 500
    data = texts((wild, "fee"), ("b", "card"))
    text = evaluate(data, [says(0), says(0)], LABELS).mistakes[0].text
    assert text.startswith("a�[31m�b c word")
    assert text.endswith("…")
    assert len(text) <= 200


def test_a_word_far_inside_a_long_sentence_is_shown_with_what_is_around_it() -> None:
    words = [f"w{i}" for i in range(400)]
    words[200] = "Ada"
    tags = ["O"] * 400
    tags[200] = "B-PER"
    data = sentences((words, tags))
    (mistake,) = evaluate(data, [np.stack([says(0)] * 400)], TAGS).mistakes
    assert mistake.text.startswith("… w")
    assert mistake.text.endswith(" …")
    assert "w199 Ada w201" in mistake.text
    assert mistake.span is not None
    assert mistake.text[slice(*mistake.span)] == "Ada"


@pytest.mark.shared
def test_a_real_file_is_scored_whole(shared: Path) -> None:
    lines = (shared / "data/conll2003/dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    data = sentences(*((row["tokens"], row["tags"]) for row in rows))
    data = replace(data, path=Path("dev.jsonl"))
    labels = data.labels()
    ids = {label: i for i, label in enumerate(labels)}
    answers = [np.eye(len(labels), dtype=np.float32)[[ids[t] for t in row["tags"]]] for row in rows]
    found = evaluate(data, answers, labels)
    assert (found.n, found.scores.n, found.scores.entity_f1) == (3250, 51362, 1)
    assert found.scores.entities is not None
    assert found.scores.entities.micro.support == 5942  # the count the shared task's paper gives


def test_the_docs_name_every_key(tagged: Evaluation) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    document = tagged.document()
    keys = set(document) | set(document["calibration"]) | set(document["entities"])
    keys |= set(document["errors"][0]) | set(document["bootstrap"]) | set(document["intervals"])
    keys |= set(document["per_label"]["O"]) | set(document["calibration"]["bins"][0])
    assert sorted(key for key in keys if f"`{key}`" not in page) == []
