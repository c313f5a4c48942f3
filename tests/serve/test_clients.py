"""The real Hugging Face client, from an answer to each error it may meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import tiny_bundle
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from serving import (
    SETTINGS,
    DatabaseGate,
    FakeEngine,
    FakeMeta,
    NoGate,
    add_customer,
    serving,
    tiny_engine,
)

from freehold.serve.engine import Engine
from freehold.serve.keys import KeyRing
from freehold.serve.server import ServerThread
from freehold.store.database import Database
from freehold.tasks.registry import kinds


@pytest.fixture
def served(sqlite: Database) -> Iterator[tuple[ServerThread, str]]:
    key = add_customer(sqlite)
    places = FakeEngine(FakeMeta(model="places", task="token-classification"))
    with serving(DatabaseGate(sqlite, KeyRing(sqlite)), FakeEngine(), places) as server:
        yield server, key


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    """A real bundle of every task, if a tiny one."""
    folder = tmp_path_factory.mktemp("tasks")
    return {kind: Engine.open(tiny_bundle(kind, folder / kind), threads=1) for kind in kinds()}


@pytest.fixture(scope="module")
def url(tasks: dict[str, Engine]) -> Iterator[str]:
    with serving(NoGate(), *tasks.values()) as server:
        yield server.url


def test_text_classification(served: tuple[ServerThread, str]) -> None:
    server, key = served
    client = InferenceClient(model=f"{server.url}/models/bank", token=key)
    answer = client.text_classification("where is my card")
    assert [element.score for element in answer] == [0.55, 0.25, 0.15, 0.05]
    assert {element.label for element in answer} == {"arrival", "refund", "lost", "other"}
    (best,) = client.text_classification("where is my card", top_k=1)
    assert best == answer[0]
    assert client.text_classification("where is my card", function_to_apply="softmax") == answer


def test_token_classification(served: tuple[ServerThread, str]) -> None:
    server, key = served
    client = InferenceClient(model=f"{server.url}/models/places", token=key)
    (entity,) = client.token_classification("we met in New York")
    assert (entity.entity_group, entity.word) == ("LOC", "New York")
    assert (entity.start, entity.end, entity.score) == (10, 18, 0.9)
    for strategy in ("simple", "first", "average", "max"):
        grouped = client.token_classification("we met in New York", aggregation_strategy=strategy)  # type: ignore[arg-type]
        assert grouped == [entity]
    words = client.token_classification("we met in New York", aggregation_strategy="none")
    assert [word.entity for word in words] == ["B-LOC", "I-LOC"]
    assert client.token_classification("in Rome", ignore_labels=["LOC"]) == []
    assert client.token_classification("nothing") == []


def test_labels_and_entities_of_real_bundles(tasks: dict[str, Engine], url: str) -> None:
    client = InferenceClient(model=f"{url}/models/text-classification", token="fh_x")
    (expected,) = answers(tasks["text-classification"], ["a b c"])
    found = client.text_classification("a b c")
    assert [(one.label, one.score) for one in found] == close(expected.scores)
    assert client.text_classification("a b c", top_k=2) == found[:2]
    client = InferenceClient(model=f"{url}/models/token-classification", token="fh_x")
    text = "e f g h i j k"
    (words,) = answers(tasks["token-classification"], [text])
    assert words.entities
    entities = [(one.type, one.word, one.start, one.end) for one in words.entities]
    for strategy in (None, "simple", "first", "average", "max"):
        grouped = client.token_classification(text, aggregation_strategy=strategy)  # type: ignore[arg-type]
        assert [(e.entity_group, e.word, e.start, e.end) for e in grouped] == entities
    tagged = client.token_classification(text, aggregation_strategy="none")
    inside = [word for word in words.words if word.tag != "O"]
    assert [(one.entity, one.start, one.end) for one in tagged] == [
        (word.tag, word.start, word.end) for word in inside
    ]
    with pytest.raises(HfHubHTTPError, match="windows that overlap"):
        client.token_classification(text, stride=2)


def test_multi_label_classification(tasks: dict[str, Engine], url: str) -> None:
    client = InferenceClient(model=f"{url}/models/multi-label-classification", token="fh_x")
    answer = client.text_classification("a b c")
    (expected,) = answers(tasks["multi-label-classification"], ["a b c"])
    assert [(one.label, one.score) for one in answer] == close(expected.scores)
    assert len({one.label for one in answer}) == 4
    assert client.text_classification("a b c", top_k=2) == answer[:2]
    assert client.text_classification("a b c", function_to_apply="sigmoid") == answer
    with pytest.raises(HfHubHTTPError, match="each label has its own probability"):
        client.text_classification("a b c", function_to_apply="softmax")


def test_question_answering(tasks: dict[str, Engine], url: str) -> None:
    client = InferenceClient(model=f"{url}/models/question-answering", token="fh_x")
    context = "x y z " * 30 + "e f g"  # several windows
    engine = tasks["question-answering"]
    (expected,) = answers(engine, [("b c", context)])
    answer = client.question_answering("b c", context)
    assert not isinstance(answer, list)
    assert answer.answer == context[answer.start : answer.end] != ""
    assert (answer.start, answer.end) == (expected.start, expected.end)
    assert answer.score == pytest.approx(expected.score, abs=1e-5)
    assert client.question_answering("b c", context, top_k=1) == answer
    three = client.question_answering("b c", context, top_k=3)
    assert isinstance(three, list)
    assert three[0] == answer
    assert len({(one.start, one.end) for one in three}) == 3
    assert three[1].score >= three[2].score
    with pytest.raises(HfHubHTTPError, match="doc_stride"):
        client.question_answering("b c", context, doc_stride=8)


def test_an_impossible_answer_is_had_or_not_as_the_client_says(tmp_path: Path) -> None:
    # Tuned to say nothing unless it is surer by 100 than it ever is.
    engine = tiny_engine("question-answering", tmp_path, settings={"no_answer": -100.0})
    with serving(NoGate(), engine) as server:
        client = InferenceClient(model=f"{server.url}/models/question-answering", token="fh_x")
        for allowed in (None, True):
            empty = client.question_answering("b", "x y z", handle_impossible_answer=allowed)
            assert not isinstance(empty, list)
            assert (empty.answer, empty.start, empty.end) == ("", 0, 0)
        part = client.question_answering("b", "x y z", handle_impossible_answer=False)
        assert not isinstance(part, list)
        assert part.answer == "x y z"[part.start : part.end] != ""
        nothing = client.question_answering("b", "", handle_impossible_answer=False)
        assert not isinstance(nothing, list)
        assert nothing.answer == ""  # there is no part of it


def test_feature_extraction(tasks: dict[str, Engine], url: str) -> None:
    client = InferenceClient(model=f"{url}/models/sentence-embedding", token="fh_x")
    texts = ["a b c", "", "d " * 99]
    expected = np.stack([one.vector for one in answers(tasks["sentence-embedding"], texts)])
    vectors = client.feature_extraction(texts)
    assert vectors.shape == (3, 8)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(client.feature_extraction("a b c"), expected[:1], atol=1e-6)
    same = client.feature_extraction(
        texts, normalize=True, truncate=True, truncation_direction="right", encoding_format="float"
    )
    np.testing.assert_array_equal(same, vectors)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"truncate": False}, "Text 3 of the request is longer"),
        ({"normalize": False}, "normalize can only be true"),
        ({"dimensions": 4}, "dimensions is not taken"),
        ({"encoding_format": "base64"}, "float only"),
        ({"prompt_name": "query"}, "no prompts"),
        ({"truncation_direction": "left"}, "right only"),
    ]
    for options, said in refused:
        with pytest.raises(HfHubHTTPError, match=said):
            client.feature_extraction(texts, **options)
    assert client.feature_extraction(texts[:2], truncate=False).shape == (2, 8)


def test_sentence_similarity(tasks: dict[str, Engine], url: str) -> None:
    client = InferenceClient(model=f"{url}/models/sentence-embedding", token="fh_x")
    cosines = client.sentence_similarity("a b", ["a b", "b a", "x y z"])
    one, *others = (a.vector for a in answers(tasks["sentence-embedding"], ["a b", "a b", "x y z"]))
    assert cosines == pytest.approx([1.0, 1.0, float(one @ others[1])], abs=1e-5)


def test_sentence_similarity_of_a_model_that_scores_pairs(
    tasks: dict[str, Engine], url: str
) -> None:
    client = InferenceClient(model=f"{url}/models/pair-scoring", token="fh_x")
    scores = client.sentence_similarity("a b", ["c", "d e f"])
    expected = answers(tasks["pair-scoring"], [("a b", "c"), ("a b", "d e f")])
    assert scores == pytest.approx([one.score for one in expected], abs=1e-5)


def test_regression_reads_as_text_classification(tasks: dict[str, Engine], url: str) -> None:
    client = InferenceClient(model=f"{url}/models/regression", token="fh_x")
    (answer,) = client.text_classification("a b c")
    (expected,) = answers(tasks["regression"], ["a b c"])
    assert (answer.label, answer.score) == ("score", pytest.approx(expected.score, abs=1e-5))


def test_a_pair_reads_as_text_classification(tasks: dict[str, Engine], url: str) -> None:
    # The client has no method for pairs; its text_classification sends what it is given.
    client = InferenceClient(model=f"{url}/models/pair-classification", token="fh_x")
    pair: Any = {"text": "a b", "text_pair": "c"}
    (expected,) = answers(tasks["pair-classification"], [("a b", "c")])
    answer = client.text_classification(pair, top_k=2)
    assert [(one.label, one.score) for one in answer] == close(expected.scores[:2])


def test_a_question_with_a_text_alone_is_told_what_to_send(url: str) -> None:
    client = InferenceClient(model=f"{url}/models/question-answering", token="fh_x")
    with pytest.raises(HfHubHTTPError) as refused:
        client.text_classification("who?")
    assert refused.value.response.status_code == 422
    assert '"question": ' in refused.value.response.json()["error"]


def answers(engine: Engine, inputs: Sequence[Any]) -> list[Any]:
    encoded = engine.encode(inputs)
    return [engine.answer(one, row) for one, row in zip(encoded, engine.run(encoded), strict=True)]


def close(scores: Sequence[tuple[str, float]]) -> list[tuple[str, Any]]:
    return [(label, pytest.approx(score, abs=1e-5)) for label, score in scores]


def test_errors_reach_the_client_as_sentences(served: tuple[ServerThread, str]) -> None:
    server, key = served
    url = f"{server.url}/models/"
    cases = [
        (url + "bank", "fh_" + "x" * 40, {}, 401, "unknown or revoked"),
        (url + "nope", key, {}, 404, "no model 'nope'"),
        (url + "bank", key, {"top_k": 0}, 422, "top_k"),
        (url + "bank", key, {"function_to_apply": "none"}, 422, "softmax"),
    ]
    for model, token, parameters, status, said in cases:
        with pytest.raises(HfHubHTTPError) as refused:
            InferenceClient(model=model, token=token).text_classification("a", **parameters)  # type: ignore[arg-type]
        assert refused.value.response.status_code == status
        assert said in str(refused.value)


def test_a_full_queue_reaches_the_client_as_429() -> None:
    engine = FakeEngine(hold=threading.Event())
    assert engine.hold is not None
    settings = replace(SETTINGS, queue_tokens=5)
    with serving(NoGate(), engine, settings=settings) as server:
        client = InferenceClient(model=f"{server.url}/models/bank", token="fh_x")
        thread = threading.Thread(target=client.text_classification, args=("one two three",))
        thread.start()
        assert engine.running.acquire(timeout=20)
        with pytest.raises(HfHubHTTPError) as refused:
            client.text_classification("four")
        assert refused.value.response.status_code == 429
        assert int(refused.value.response.headers["retry-after"]) >= 1
        engine.hold.set()
        thread.join(20)
