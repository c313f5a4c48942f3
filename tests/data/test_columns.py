"""Columns: the user's names, then telling names, then content; never a silent guess."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from freehold.data.read import read_dataset
from freehold.errors import DataError

SENTENCES = [f"this is sentence number {n} about the card and the account" for n in range(30)]


def records(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (("id", "Text", "Label"), "Text", "Label"),
        (("utterance", "intent", "date"), "utterance", "intent"),
        (("review", "sentiment", "stars"), "review", "sentiment"),
        (("title", "text", "category"), "text", "category"),
        (("label", "question", "answer"), "question", "label"),
        (("text", "label", "keyword"), "text", "label"),
        (("文本", "标签"), "文本", "标签"),
    ],
)
def test_names_that_tell(tmp_path: Path, names: tuple[str, ...], text: str, label: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",".join(names) + "\n" + ",".join("abc"[: len(names)]) + "\n", "utf-8")
    data = read_dataset(path)
    assert data.columns == {"text": text, "label": label}
    assert data.inferred


def test_content_tells_where_names_do_not(tmp_path: Path) -> None:
    rows = [
        {"key": n, "u": f"c0ffee-{n:06}", "a": sentence, "b": ["x", "y", "z"][n % 3]}
        for n, sentence in enumerate(SENTENCES)
    ]
    data = read_dataset(records(tmp_path / "a.jsonl", list(rows)))
    assert data.columns == {"text": "a", "label": "b"}
    assert data.inferred


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("sentence,content,label", 'more than one column may be the text: "sentence", "content"'),
        ("text,category,topic", 'more than one column may be the label: "category", "topic"'),
        ("p,q,label", "no column can be told to be the text"),
    ],
)
def test_what_is_not_clear_is_an_error(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(header + "\n1,2,3\n4,5,6\n")
    with pytest.raises(DataError) as error:
        read_dataset(path)
    assert message in error.value.message
    assert all(f'"{name}"' in error.value.message for name in header.split(","))
    assert "--text COL --label COL" in (error.value.hint or "")
    assert 'text = "COL"' in (error.value.hint or "")


def test_two_columns_alike_in_content_are_an_error(tmp_path: Path) -> None:
    rows = [{"a": s, "b": s[::-1], "c": "xy"[n % 2]} for n, s in enumerate(SENTENCES)]
    with pytest.raises(DataError, match='more than one column may be the text: "a", "b"'):
        read_dataset(records(tmp_path / "a.jsonl", list(rows)))


def test_a_file_without_a_header_does_not_lose_its_first_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(f"{s},{'xy'[n % 2]}" for n, s in enumerate(SENTENCES)))
    with pytest.raises(DataError, match="the first line looks like data"):
        read_dataset(path)


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("body,label\na,b\n")
    with pytest.raises(DataError, match=r'no column "boddy".*"body", "label"') as error:
        read_dataset(path, text="boddy")
    assert 'Did you mean "body"?' in (error.value.hint or "")


def test_the_task_follows_from_the_columns(tmp_path: Path) -> None:
    tagged: dict[str, object] = {"id": 1, "words": ["a"], "ner_tags": ["O"], "pos_tags": ["X"]}
    data = read_dataset(records(tmp_path / "a.jsonl", [tagged]))
    assert data.task == "token-classification"
    assert data.columns == {"tokens": "words", "tags": "ner_tags"}
    unnamed: dict[str, object] = {"one": ["in", "Bonn"], "two": ["O", "B-LOC"]}
    data = read_dataset(records(tmp_path / "b.jsonl", [unnamed]))
    assert data.columns == {"tokens": "one", "tags": "two"}
    data = read_dataset(records(tmp_path / "b.jsonl", [unnamed]), text="one", label="two")
    assert data.task == "token-classification"
    assert not data.inferred


def test_words_and_tags_as_strings(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("tokens,tags\nin Bonn,O B-LOC\n")
    data = read_dataset(path)
    assert data.task == "token-classification"
    assert "split at their spaces" in data.notes[0]
    assert data.examples[0].text == "in Bonn"


def test_both_tasks_in_one_file_are_not_clear(tmp_path: Path) -> None:
    row: dict[str, object] = {"text": "a", "label": "x", "tokens": ["a"], "tags": ["O"]}
    path = records(tmp_path / "a.jsonl", [row])
    with pytest.raises(DataError, match="the task is not clear"):
        read_dataset(path)
    assert read_dataset(path, task="text-classification").columns["text"] == "text"
    assert read_dataset(path, task="token-classification").columns["tokens"] == "tokens"


def test_a_file_for_the_other_task(tmp_path: Path) -> None:
    tagged = records(tmp_path / "a.jsonl", [{"tokens": ["a"], "tags": ["O"]}])
    with pytest.raises(DataError, match="holds words with tags, but the task is text-class"):
        read_dataset(tagged, task="text-classification")
    plain = records(tmp_path / "b.jsonl", [{"text": "a b", "label": "x"}])
    with pytest.raises(DataError, match="holds texts with a label, but the task is token-class"):
        read_dataset(plain, task="token-classification")
    conll = tmp_path / "a.conll"
    conll.write_text("a O\n")
    with pytest.raises(DataError, match="holds words with tags"):
        read_dataset(conll, task="text-classification")


def test_control_signs_of_a_name_do_not_reach_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\x1b[31mred,p\n1,2\n")
    with pytest.raises(DataError) as error:
        read_dataset(path)
    assert "\x1b" not in error.value.message
