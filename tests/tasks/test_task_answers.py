"""What each task's logits say: answers with probabilities, and the shapes they are sent in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from freehold.tasks.base import Task
from freehold.tasks.registry import kinds, task_of
from freehold.tasks.tokenise import Encoded, Words

TEXT = Encoded((), 0, False, "in New York")
WORDS = Words(((0, 2), (3, 6), (7, 11)), np.array([1, 2, 3]), np.zeros(3, np.int64))


def logits(*rows: Any) -> np.ndarray:
    return np.array(rows, np.float32)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("kind", ["text-classification", "pair-classification"])
def test_one_label_has_the_chances_of_a_softmax_at_the_tuned_temperature(kind: str) -> None:
    task = task_of(kind)
    row = logits(*np.log([0.2, 0.7, 0.1]))
    answer = task.answer(TEXT, row, ["a", "b", "c"], {})
    assert [label for label, _ in answer.scores] == ["b", "a", "c"]
    assert [score for _, score in answer.scores] == pytest.approx([0.7, 0.2, 0.1])
    assert answer.document()["label"] == "b"
    cool = task.answer(TEXT, row, ["a", "b", "c"], {"temperature": 0.5})
    assert cool.score == pytest.approx(0.49 / (0.49 + 0.04 + 0.01))
    top = task.parameters(top_k=2)
    shown = task.render([answer, cool], top, form="list")
    assert [[one["label"] for one in row] for row in shown] == [["b", "a"], ["b", "a"]]
    assert task.render([answer], task.parameters(), form="single")[0][0]["score"] == answer.score


def test_equal_chances_keep_the_order_of_the_labels() -> None:
    answer = task_of("text-classification").answer(TEXT, logits(1, 1, 1), ["z", "a", "m"], {})
    assert [label for label, _ in answer.scores] == ["z", "a", "m"]


def test_each_label_has_a_chance_of_its_own_and_is_chosen_above_its_threshold() -> None:
    task = task_of("multi-label-classification")
    row = logits(-1.0, 2.0, 0.1)
    answer = task.answer(TEXT, row, ["a", "b", "c"], {"thresholds": [0.2, 0.9, 0.5]})
    assert answer.document()["labels"] == ["c", "a"]
    assert dict(answer.scores) == pytest.approx(
        {"a": sigmoid(-1.0), "b": sigmoid(2.0), "c": sigmoid(0.1)}
    )
    assert [label for label, _ in answer.scores] == ["b", "c", "a"]
    assert task.answer(TEXT, row, ["a", "b", "c"], {}).chosen == ("b", "c")
    (chosen,) = task.render([answer], task.parameters(chosen=True), form="single")
    assert [one["label"] for one in chosen] == ["c", "a"]
    (best,) = task.render([answer], task.parameters(top_k=1, chosen=True), form="single")
    assert best == []  # the likeliest label is not above its threshold


def test_words_have_tags_and_make_entities() -> None:
    task = task_of("token-classification")
    encoded = Encoded((), 0, False, "in New York", WORDS)
    chances = [[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.2, 0.0001, 0.7999]]
    answer = task.answer(encoded, logits(*np.log(chances)), ["O", "B-LOC", "I-LOC"], {})
    assert answer.tags == ("O", "B-LOC", "I-LOC")
    (entity,) = answer.entities
    assert (entity.type, entity.word, entity.start, entity.end) == ("LOC", "New York", 3, 11)
    assert entity.score == pytest.approx((0.6 + 0.7999) / 2, abs=1e-4)
    flat = task.render([answer], task.parameters(), form="single")
    assert task.render([answer], task.parameters(), form="list") == [flat]
    assert flat == [entity.document()]


@pytest.mark.parametrize("kind", ["regression", "pair-scoring"])
def test_a_number_is_the_logit(kind: str) -> None:
    task = task_of(kind)
    answer = task.answer(TEXT, logits(3.25), ["score"], {})
    assert answer.document() == {"score": 3.25}
    shown = task.render([answer, answer], task.parameters(), form="list")
    assert shown == (
        [3.25] * 2 if kind == "pair-scoring" else [[{"label": "score", "score": 3.25}]] * 2
    )


def test_an_answer_has_the_chance_that_it_has_among_all_candidates() -> None:
    task = task_of("question-answering")
    rows = logits([0, 0, 1.0], [3, 6, 2.0], [3, 11, 3.0])
    whole = sum(math.exp(value) for value in (1, 2, 3))
    answer = task.answer(TEXT, rows, ["start", "end"], {})
    assert (answer.answer, answer.start, answer.end) == ("New York", 3, 11)
    assert answer.score == pytest.approx(math.exp(3) / whole)
    nothing = task.answer(TEXT, rows, ["start", "end"], {"no_answer": -3.0})
    assert (nothing.answer, nothing.start, nothing.end) == ("", 0, 0)
    assert nothing.score == pytest.approx(math.exp(1) / whole)
    assert [one.document() for one in nothing.others] == [
        one.document() for one in (answer, answer.others[0])
    ]
    assert "others" not in nothing.document()
    said = task.parameters(handle_impossible_answer=False)
    assert task.render([nothing], said, form="single") == answer.document()
    assert task.render([nothing], task.parameters(), form="list") == [nothing.document()]
    two = task.render([nothing], task.parameters(top_k=2), form="single")
    assert two == [nothing.document(), answer.document()]
    all_said = task.parameters(top_k=9, handle_impossible_answer=False)
    (found,) = task.render([nothing], all_said, form="list")
    assert [one["answer"] for one in found] == ["New York", "New"]


def test_vectors_are_given_as_they_are_and_compared_by_their_cosines() -> None:
    task = task_of("sentence-embedding")
    answers = [task.answer(TEXT, row, [], {}) for row in logits([1, 0], [0.6, 0.8], [0, -1.0])]
    assert answers[0].document() == {"embedding": [1.0, 0.0]}
    vectors = task.render(answers, task.parameters(), form="list")
    np.testing.assert_allclose(vectors, [[1, 0], [0.6, 0.8], [0, -1]], atol=1e-6)
    cosines = task.render(answers, task.parameters(), form="comparison")
    assert cosines == pytest.approx([0.6, 0.0], abs=1e-6)


@pytest.mark.parametrize("task", [task_of(kind) for kind in kinds()], ids=kinds())
def test_no_temperature_changes_what_is_chosen_and_every_answer_is_plain(task: Task) -> None:
    import json

    encoded = Encoded((), 0, False, "in New York", WORDS)
    rows = {
        "question-answering": logits([0, 0, 1.0], [3, 6, 2.0]),
        "token-classification": logits([1, 2], [3, 1], [0, 4]),
    }.get(task.kind, logits(0.5, 2.0))
    labels = ["O", "B-LOC"]
    one, other = (
        task.answer(encoded, rows, labels, {"temperature": heat}).document() for heat in (1.0, 9.0)
    )
    assert json.loads(json.dumps(one)).keys() == json.loads(json.dumps(other)).keys()
    for key in one.keys() & {"label", "labels", "tags", "answer", "embedding"}:
        assert one[key] == other[key]
