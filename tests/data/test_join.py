"""Sentences joined into longer texts: nothing is lost, moved or cut."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.data.join import join, joined
from freehold.data.read import read_dataset
from freehold.errors import ConflictError, DataError
from freehold.tasks.token_classification import entities
from freehold.tasks.types import TaggedExample
from freehold.testing import run_verb

LENGTHS = st.lists(st.integers(1, 12), max_size=40)


def sentences(lengths: list[int]) -> list[TaggedExample]:
    return [
        TaggedExample(row, tuple(f"w{row}.{n}" for n in range(length)), ("O",) * length)
        for row, length in enumerate(lengths, start=1)
    ]


@given(LENGTHS, st.integers(1, 20), st.booleans(), st.integers(0, 5))
def test_every_sentence_stands_in_one_text_in_its_order(
    lengths: list[int], words: int, vary: bool, seed: int
) -> None:
    given = sentences(lengths)
    texts = list(joined(given, words, vary, seed))
    assert [one for text in texts for one in text] == given
    for text in texts:
        assert text
        assert len(text) == 1 or sum(len(one.tokens) for one in text) <= words


@given(LENGTHS, st.integers(1, 20))
def test_without_vary_no_text_has_room_for_the_sentence_after_it(
    lengths: list[int], words: int
) -> None:
    texts = list(joined(sentences(lengths), words, vary=False, seed=0))
    for text, after in itertools.pairwise(texts):
        assert sum(len(one.tokens) for one in text) + len(after[0].tokens) > words


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


ROWS: list[dict[str, object]] = [
    {"tokens": ["Ada", "Lovelace"], "tags": ["B-PER", "I-PER"]},
    {"tokens": ["Ada", "met", "Babbage"], "tags": ["B-PER", "O", "B-PER"]},
    {"tokens": ["In", "London", "."], "tags": ["O", "B-LOC", "O"]},
]


def test_the_command_writes_texts_with_the_same_entities(tmp_path: Path) -> None:
    file, out = write(tmp_path / "a.jsonl", ROWS), tmp_path / "b.jsonl"
    document = run_verb(tmp_path, "data", "join", str(file), "--words", "5", "--out", str(out))
    assert document == {"out": str(out), "sentences": 3, "texts": 2, "words": 8}
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [line["rows"] for line in lines] == [[1, 2], [3, 3]]
    assert lines[0]["tokens"] == ["Ada", "Lovelace", "\n", "Ada", "met", "Babbage"]
    assert lines[0]["tags"] == ["B-PER", "I-PER", "O", "B-PER", "O", "B-PER"]
    texts = read_dataset(out).examples
    found = [sorted(entities(one.target or ())) for one in texts]
    assert found == [[("PER", 0, 2), ("PER", 2, 3), ("PER", 4, 5)], [("LOC", 1, 2)]]
    assert texts[0].input == tuple(lines[0]["tokens"])
    assert texts[0].text == "Ada Lovelace Ada met Babbage"


def test_sentences_that_are_written_several_times_are_cut_elsewhere(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"tokens": [f"w{n}"], "tags": ["B-X"]} for n in range(60)]
    file, out = write(tmp_path / "a.jsonl", rows), tmp_path / "b.jsonl"
    run_verb(
        tmp_path, "data", "join", str(file), "--words", "9", "--vary", "--times", "2",
        "--out", str(out),
    )  # fmt: skip
    texts = [json.loads(line)["rows"] for line in out.read_text(encoding="utf-8").splitlines()]
    starts = [n for n, (first, _) in enumerate(texts) if first == 1]
    assert len(starts) == 2
    assert texts[: starts[1]] != texts[starts[1] :]
    for half in (texts[: starts[1]], texts[starts[1] :]):
        assert [n for first, last in half for n in range(first, last + 1)] == list(range(1, 61))


def test_a_line_break_belongs_to_no_entity(tmp_path: Path) -> None:
    row: dict[str, object] = {"tokens": ["A", "\n", "b"], "tags": ["B-X", "I-X", "I-X"]}
    with pytest.raises(DataError, match="a line break has a tag of an entity"):
        read_dataset(write(tmp_path / "a.jsonl", [row]))


def test_lines_are_kept_where_examples_are_written(tmp_path: Path) -> None:
    from freehold.data.divide import write_examples

    row: dict[str, object] = {"tokens": ["A", "\n", "b", "c"], "tags": ["B-X", "O", "O", "B-X"]}
    first = read_dataset(write(tmp_path / "a.jsonl", [row])).examples
    write_examples(tmp_path / "b.jsonl", first)
    assert list(read_dataset(tmp_path / "b.jsonl").examples) == list(first)


def test_it_refuses_what_it_cannot_join_and_overwrites_nothing(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.jsonl", [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}])
    with pytest.raises(DataError, match="only tagged sentences are joined"):
        join(read_dataset(texts), tmp_path / "o.jsonl", words=5)
    file = write(tmp_path / "a.jsonl", ROWS)
    out = write(tmp_path / "o.jsonl", [])
    with pytest.raises(ConflictError, match="already there"):
        join(read_dataset(file), out, words=5)
    assert out.read_text(encoding="utf-8") == ""
