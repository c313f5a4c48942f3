"""What a request may hold, task by task: one input, a list of them, a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freehold.errors import InputError
from freehold.tasks import registry
from freehold.tasks.base import Task
from freehold.tasks.registry import kinds, task_of
from freehold.tasks.tokenise import Tokeniser
from freehold.tasks.types import Example, PairExample
from freehold.testing import tiny_encoder

PAIR = {"text": "a", "text_pair": "b"}
ASKED = {"source_sentence": "a", "sentences": ["b", "c"]}


@pytest.mark.parametrize(
    ("kind", "given", "inputs", "form"),
    [
        ("text-classification", "a", ["a"], "single"),
        ("text-classification", ["a"], ["a"], "list"),
        ("regression", ["a", ""], ["a", ""], "list"),
        ("token-classification", "a", ["a"], "single"),
        ("multi-label-classification", "", [""], "single"),
        ("pair-classification", PAIR, [("a", "b")], "single"),
        ("pair-classification", [PAIR, PAIR], [("a", "b")] * 2, "list"),
        ("pair-scoring", PAIR, [("a", "b")], "single"),
        ("pair-scoring", [PAIR], [("a", "b")], "list"),
        ("pair-scoring", ASKED, [("a", "b"), ("a", "c")], "comparison"),
        ("sentence-embedding", ["a", "b"], ["a", "b"], "list"),
        ("sentence-embedding", ASKED, ["a", "b", "c"], "comparison"),
        ("question-answering", {"question": "q", "context": "c"}, [("q", "c")], "single"),
        ("question-answering", [{"question": "q", "context": "c"}], [("q", "c")], "list"),
    ],
)
def test_inputs_and_their_form(kind: str, given: Any, inputs: list[Any], form: str) -> None:
    assert task_of(kind).inputs(given) == (inputs, form)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("text-classification", PAIR),
        ("text-classification", [["a"]]),
        ("pair-classification", ASKED),
        ("pair-classification", ["a", "b"]),
        ("pair-scoring", [ASKED]),
        ("pair-scoring", {"source_sentence": "a", "sentences": "b"}),
        ("pair-scoring", {**ASKED, "text": "a"}),
        ("sentence-embedding", PAIR),
        ("sentence-embedding", {"source_sentence": "a", "sentences": []}),
        ("sentence-embedding", {"source_sentence": None, "sentences": ["a"]}),
        ("question-answering", {"question": "q", "context": ["c"]}),
    ],
)
def test_other_forms_are_refused(kind: str, given: Any) -> None:
    with pytest.raises(InputError) as refused:
        task_of(kind).inputs(given)
    assert refused.value.message.startswith("inputs")
    assert "Send {" in str(refused.value.hint)


def test_every_task_stands_once_under_its_own_name() -> None:
    names = kinds()
    assert len(set(names)) == len(names)
    assert names[:2] == ("text-classification", "token-classification")
    assert [task_of(name).kind for name in names] == list(names)
    assert len({type(task_of(name)).__module__ for name in names}) == len(names)
    with pytest.raises(InputError, match='There is no task "summarise"'):
        task_of("summarise")


def test_two_tasks_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    twin = type("Twin", (type(task_of("regression")),), {})()
    module = importlib.import_module("freehold.tasks.pairs")
    monkeypatch.setattr(module, "TASK", twin, raising=False)
    registry._tasks.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="regression"):
            kinds()
    finally:
        monkeypatch.undo()
        registry._tasks.cache_clear()
    assert isinstance(task_of("regression"), Task)


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    from tokenizers import Tokenizer

    folder = tiny_encoder(tmp_path_factory.mktemp("requests") / "tiny", vocab_words=["bike"])
    return Tokeniser(Tokenizer.from_file(str(folder / "tokenizer.json")), 12)


def test_a_pair_is_two_rows_of_a_sentence_embedding_and_a_text_one(tokeniser: Tokeniser) -> None:
    task = task_of("sentence-embedding")
    texts = task.encode(tokeniser, ["my bike", "a"])
    assert [len(one.windows) for one in texts] == [1, 1]
    (pair,) = task.encode(tokeniser, [("my bike", "b " * 99)])
    assert [window.ids.tolist() for window in pair.windows] == [
        texts[0].ids.tolist(),
        task.encode(tokeniser, ["b " * 99])[0].ids.tolist(),
    ]
    assert pair.truncated
    assert pair.length == sum(len(window.ids) for window in pair.windows)
    assert task.encode(tokeniser, []) == []
    rows = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    assert task.join(texts[0], rows[:1], []).shape == (2,)
    assert task.join(pair, rows, []).tolist() == [[1, 0], [0, 1]]


def test_a_file_to_be_embedded_has_texts_and_one_to_learn_from_pairs() -> None:
    task = task_of("sentence-embedding")
    assert [role.name for role in task.asked] == ["text"]
    assert [role.name for role in task.roles] == ["text_a", "text_b", "score"]
    assert task.example(3, {"text": "a"}) == Example(3, "a")
    pair = task.example(3, {"text_a": "a", "text_b": "b", "score": 2.0})
    assert pair == PairExample(3, "a", "b", score=2.0)
