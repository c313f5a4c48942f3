"""Files of the tasks beyond a text with its label: what is read, and a sentence for what is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.offsets import tag
from freehold.data.read import read_dataset
from freehold.errors import DataError
from freehold.tasks.bio import entities
from freehold.tasks.types import LabelsExample, PairExample, QuestionExample


def _write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_labels_stand_in_a_list_or_in_one_cell(tmp_path: Path) -> None:
    lines = _write(
        tmp_path / "a.jsonl", {"text": "x", "labels": ["b", "a", "b"]}, {"text": "y", "labels": []}
    )
    cells = tmp_path / "a.csv"
    cells.write_text("text,labels\nx,b|a|b\ny,\n")
    for file in (lines, cells):
        data = read_dataset(file, task="multi-label-classification")
        assert [e.target for e in data.examples] == [("b", "a"), ()]
        assert isinstance(data.examples[0], LabelsExample)
        assert data.labels() == ["a", "b"]


def test_the_task_is_seen_from_columns_of_its_own_names(tmp_path: Path) -> None:
    pairs = _write(tmp_path / "p.jsonl", {"text_a": "x", "text_b": "y", "label": "same"})
    data = read_dataset(pairs)
    assert (data.task, data.inferred) == ("pair-classification", True)
    assert data.examples == [PairExample(1, "x", "y", label="same")]
    question = {"question": "?", "context": "in Rome", "answers": [{"text": "Rome", "start": 3}]}
    asked = read_dataset(_write(tmp_path / "q.jsonl", question))
    assert asked.task == "question-answering"
    assert asked.examples == [QuestionExample(1, "?", "in Rome", (("Rome", 3),))]


@pytest.mark.parametrize(
    "answers",
    [
        [{"text": "Rome", "start": 3}],
        [{"text": "Rome", "answer_start": 3}],
        {"text": ["Rome"], "answer_start": [3]},
        {"text": ["Rome"]},
        {"text": "Rome"},
        ["Rome"],
        "Rome",
    ],
)
def test_answers_in_any_common_form(tmp_path: Path, answers: object) -> None:
    file = _write(tmp_path / "q.jsonl", {"question": "?", "context": "in Rome", "answers": answers})
    assert read_dataset(file, task="question-answering").examples[0].target == (("Rome", 3),)


def test_a_file_to_be_answered_has_no_targets(tmp_path: Path) -> None:
    file = _write(tmp_path / "p.jsonl", {"text_a": "x", "text_b": "y"})
    (example,) = read_dataset(file, task="pair-scoring", labelled=False).examples
    assert example.target is None
    texts = _write(tmp_path / "t.jsonl", {"text": "x"})
    (example,) = read_dataset(texts, task="sentence-embedding", labelled=False).examples
    assert example.input == "x"


@pytest.mark.parametrize(
    ("task", "record", "message"),
    [
        ("regression", {"text": "x", "score": "high"}, "line 1: 'high' is not a number"),
        ("regression", {"text": "x", "score": None}, "line 1: the number is missing"),
        ("regression", {"text": "x", "score": " "}, "line 1: the number is missing"),
        ("regression", {"text": "x", "score": 10**400}, "line 1: the number is NaN or infinite"),
        ("regression", {"text": "x", "score": True}, "line 1: it is not a number"),
        ("regression", {"text": "x", "score": "nan"}, "line 1: the number is NaN"),
        ("regression", {"text": "x", "score": "1_000"}, "line 1: '1_000' is not a number"),
        ("pair-scoring", {"text_a": "x", "text_b": "y", "score": "1_0.5"}, "'1_0.5' is not a n"),
        ("regression", {"text": "x"}, "no column for the score"),
        ("multi-label-classification", {"text": "x", "labels": 5}, "line 1: the labels are of"),
        ("multi-label-classification", {"text": "x", "labels": [None]}, "line 1: a label is"),
        ("multi-label-classification", {"text": "x", "labels": [True]}, "line 1: a label is"),
        ("multi-label-classification", {"text": "x", "labels": ["a", 1.5]}, "line 1: a label is"),
        (
            "pair-classification",
            {"text_a": "x", "text_b": "y", "label": True},
            "line 1: the label is of type bool",
        ),
        ("pair-classification", {"text_a": "x", "text_b": None, "label": "a"}, "text is missing"),
        ("pair-classification", {"text_a": "x", "text_b": "y", "label": ""}, "label is missing"),
        (
            "question-answering",
            {"question": "?", "context": "in Rome", "answers": [{"text": "Rome", "start": 4}]},
            "line 1: the answer 'Rome' does not stand in the context at character 4",
        ),
        (
            "question-answering",
            {"question": "?", "context": "in Rome", "answers": ["Paris"]},
            "line 1: the answer 'Paris' does not stand in the context",
        ),
        (
            "question-answering",
            {"question": "?", "context": "in Rome", "answers": [{"start": 4}]},
            "line 1: an answer has no text",
        ),
        (
            "question-answering",
            {"question": "?", "context": "Rome is Rome", "answers": {"text": ["Rome"]}},
            "line 1: the answer 'Rome' stands in the context more than once and has no start",
        ),
        (
            "question-answering",
            {"question": "?", "context": "aaa", "answers": ["aa"]},
            "line 1: the answer 'aa' stands in the context more than once",
        ),
        (
            "question-answering",
            {"question": "?", "context": "in Rome", "answers": {"text": ["a", "b"], "start": [1]}},
            "line 1: the answers have not as many starts as texts",
        ),
        (
            "token-classification",
            {"text": "in  Rome", "entities": [[2, 4, "LOC"], [4, 8, "LOC"]]},
            'line 1: an entity in "entities" covers only blanks (LOC at character 2)',
        ),
        (
            "token-classification",
            {"text": "in Rome", "entities": [{"start": 3, "end": 70, "label": "LOC"}]},
            'line 1: an entity in "entities" has no label, or does not lie',
        ),
        (
            "token-classification",
            {"text": "in Rome", "entities": [[3, 7, "LOC"], [0, 5, "X"]]},
            "line 1: two entities overlap",
        ),
    ],
)
def test_a_bad_record_gets_a_sentence(
    tmp_path: Path, task: str, record: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_dataset(_write(tmp_path / "bad.jsonl", record), task=task)
    assert message in caught.value.message
    assert caught.value.hint


def test_offsets_become_tags_also_inside_of_words(tmp_path: Path) -> None:
    record = {"text": "Anna-Lena in newRome!", "entities": [[0, 9, "PER"], [16, 20, "LOC"]]}
    data = read_dataset(_write(tmp_path / "o.jsonl", record))
    assert data.task == "token-classification"
    (example,) = data.examples
    assert example.input == ("Anna-Lena", "in", "new", "Rome", "!")
    assert example.target == ("B-PER", "O", "O", "B-LOC", "O")


@given(st.data())
def test_tags_give_back_the_offsets(data: st.DataObject) -> None:
    text = data.draw(st.text(st.sampled_from("ab .中-"), min_size=1, max_size=30))
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True).map(sorted))
    spans = [
        (a, b, "X")
        for a, b in zip(places[::2], places[1::2], strict=False)
        # an entity begins and ends with something that is a word
        if text[a:b].strip() == text[a:b] != ""
    ]
    words, tags, _, _ = tag(text, spans)
    starts, at = [], 0
    for word in words:
        at = text.index(word, at)
        starts.append((at, at + len(word)))
        at += len(word)
    found = [(starts[a][0], starts[b - 1][1], kind) for kind, a, b in entities(tags)]
    assert found == spans


def test_a_number_is_read_to_its_end(tmp_path: Path) -> None:
    file = _write(tmp_path / "n.jsonl", {"text": "x", "score": "0" * 38 + "1.5e3"})
    assert read_dataset(file, task="regression").examples[0].target == 1500.0


@pytest.mark.parametrize(
    ("task", "record", "columns", "target"),
    [
        ("regression", {"body": "x", "stars": 4, "text": "y"}, ("body", "stars"), 4.0),
        (
            "multi-label-classification",
            {"body": "x", "about": "a|b", "text": "y", "labels": ["c"]},
            ("body", "about"),
            ("a", "b"),
        ),
        (
            "pair-scoring",
            {"body": "x", "text_b": "z", "close": "2.5", "score": 1},
            ("body", "close"),
            2.5,
        ),
        (
            "pair-classification",
            {"body": "x", "text_b": "z", "same": 1, "label": "no"},
            ("body", "same"),
            "1",
        ),
        (
            "sentence-embedding",
            {"body": "x", "sentence2": "z", "close": 0, "text_a": "y"},
            ("body", "close"),
            0.0,
        ),
        (
            "question-answering",
            {"body": "who?", "context": "it was x", "gold": "x", "question": "y"},
            ("body", "gold"),
            (("x", 7),),
        ),
    ],
)
def test_columns_that_are_named_come_before_those_of_the_task_s_names(
    tmp_path: Path, task: str, record: dict[str, object], columns: tuple[str, str], target: object
) -> None:
    file = _write(tmp_path / "c.jsonl", record)
    text, label = columns
    data = read_dataset(file, task=task, text=text, label=label)
    assert data.examples[0].target == target
    assert record["body"] in (data.examples[0].input, data.examples[0].input[0])
    assert set(columns) <= set(data.columns.values())
    for names, missing in ((("nope", label), "nope"), ((text, "gone"), "gone")):
        with pytest.raises(DataError, match=f'no column "{missing}"') as caught:
            read_dataset(file, task=task, text=names[0], label=names[1])
        assert "body" in caught.value.message  # the columns that there are
