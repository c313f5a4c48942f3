"""Question answering: windows over a long context, candidates, no answer, the SQuAD figures."""

from __future__ import annotations

import numpy as np
import pytest

from freehold.tasks.question_answering import TASK
from freehold.tasks.tokenise import Encoded, Tokeniser
from freehold.tasks.types import QuestionExample
from freehold.testing import tiny_encoder
from freehold.train.encoders import load_tokenizer

WORDS = ["who", "anna", "bike", "the", "my"]


@pytest.fixture(scope="module")
def tokeniser(tmp_path_factory: pytest.TempPathFactory) -> Tokeniser:
    folder = tiny_encoder(tmp_path_factory.mktemp("qa") / "tiny", vocab_words=WORDS)
    return Tokeniser(load_tokenizer(folder), 16, windows=True, question=True)


def _encoded(tokeniser: Tokeniser, question: str, context: str) -> Encoded:
    (found,) = TASK.encode(tokeniser, [(question, context)])
    return found


def _certain(encoded: Encoded, start: int, end: int) -> list[np.ndarray]:
    """Logits of a model that is sure of the characters [start, end)."""
    rows = []
    for window in encoded.windows:
        row = np.zeros((len(window.ids), 2), np.float32)
        assert window.spans is not None
        for place, (a, b) in enumerate(window.spans.tolist()):
            if b > a >= 0:
                row[place] = 9.0 * (a == start), 9.0 * (b == end)
        rows.append(row)
    return rows


def test_an_answer_in_a_late_window_is_found_at_its_characters(tokeniser: Tokeniser) -> None:
    context = "the bike " * 20 + "anna my bike " + "the bike " * 5
    start = context.index("anna")
    encoded = _encoded(tokeniser, "who", context)
    assert len(encoded.windows) > 3
    assert not encoded.truncated
    joined = TASK.join(encoded, _certain(encoded, start, start + 4), ["start", "end"])
    answer = TASK.answer(encoded, joined, ["start", "end"], {})
    assert (answer.answer, answer.start, answer.end) == ("anna", start, start + 4)
    assert len(np.unique(joined[1:, :2], axis=0)) == len(joined) - 1  # windows overlap


def test_targets_are_the_tokens_of_the_answer_in_each_window_that_has_it(
    tokeniser: Tokeniser,
) -> None:
    context = "the bike " * 20 + "anna bike " + "the bike " * 5
    start = context.index("anna bike")
    example = QuestionExample(1, "who", context, (("anna bike", start),))
    encoded = _encoded(tokeniser, "who", context)
    places = TASK.targets(encoded, example, ["start", "end"])
    found = 0
    for window, place in zip(encoded.windows, places, strict=True):
        assert window.spans is not None
        if place.any():
            found += 1
            assert window.spans[place[0], 0] == start
            assert window.spans[place[1], 1] == start + len("anna bike")
    assert found >= 1


def test_a_question_longer_than_the_model_is_cut(tokeniser: Tokeniser) -> None:
    encoded = _encoded(tokeniser, "who " * 500, "the bike anna")
    assert all(len(window.ids) <= 16 for window in encoded.windows)
    assert any((window.spans >= 0).any() for window in encoded.windows if window.spans is not None)


def test_an_empty_context_has_no_answer(tokeniser: Tokeniser) -> None:
    encoded = _encoded(tokeniser, "who", "")
    rows = [np.zeros((len(window.ids), 2), np.float32) for window in encoded.windows]
    joined = TASK.join(encoded, rows, ["start", "end"])
    answer = TASK.answer(encoded, joined, ["start", "end"], {"no_answer": None})
    assert (answer.answer, answer.start, answer.end) == ("", 0, 0)


def test_nothing_is_said_where_that_is_likelier_by_more_than_the_limit() -> None:
    row = np.array([[0, 0, 5.0], [3, 7, 4.0]], np.float32)
    encoded = Encoded((), 0, False, "in Rome")
    assert TASK.answer(encoded, row, [], {}).answer == ""
    assert TASK.answer(encoded, row, [], {"no_answer": 2.0}).answer == "Rome"
    assert TASK.answer(encoded, row, [], {"no_answer": None}).answer == "Rome"


def test_the_limit_that_is_tuned_gives_the_best_f1() -> None:
    random = np.random.default_rng(0)
    examples, logits = [], []
    for row in range(60):
        there = random.random() < 0.6
        gold = (("Ann", 0),) if there else ()
        examples.append(QuestionExample(row, "?", "Ann", gold))
        null = random.normal(0.0 if there else 1.5)
        logits.append(np.array([[0, 0, null], [0, 3, 0.5]], np.float32))

    def f1(limit: float) -> float:
        return TASK.measure(examples, logits, [], {"no_answer": limit}).all()["f1"]

    tuned = TASK.tune(examples, logits, [])["no_answer"]
    assert f1(tuned) == pytest.approx(max(f1(limit) for limit in np.arange(-5, 5, 0.01)))
    answered = [n for n, example in enumerate(examples) if example.answers]
    some = TASK.tune([examples[n] for n in answered], [logits[n] for n in answered], [])
    assert some == {"no_answer": None}


def test_the_tuned_limit_is_a_number_and_does_not_cut_between_equals() -> None:
    tied = np.array([[0, 0, 1.0], [0, 3, 1.0]], np.float32)
    bare = np.array([[0, 0, 1.0]], np.float32)  # an empty context has no candidate
    examples = [
        QuestionExample(1, "?", "Ann", (("Ann", 0),)),
        QuestionExample(2, "?", "Ann", ()),
        QuestionExample(3, "?", "Ann", ()),
        QuestionExample(4, "?", "", ()),
    ]
    rows = [tied, tied, tied, bare]
    tuned = TASK.tune(examples, rows, [])
    assert np.isfinite(tuned["no_answer"])
    assert TASK.measure(examples, rows, [], tuned).all()["f1"] == pytest.approx(3 / 4)
