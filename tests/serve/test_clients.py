"""The real Hugging Face client, from an answer to each error it may meet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from serving import SETTINGS, DatabaseGate, FakeEngine, FakeMeta, NoGate, add_customer, serving

from freehold.serve.keys import KeyRing
from freehold.serve.server import ServerThread
from freehold.store.database import Database


@pytest.fixture
def served(sqlite: Database) -> Iterator[tuple[ServerThread, str]]:
    key = add_customer(sqlite)
    places = FakeEngine(FakeMeta(model="places", task="token-classification"))
    with serving(DatabaseGate(sqlite, KeyRing(sqlite)), FakeEngine(), places) as server:
        yield server, key


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
    words = client.token_classification("we met in New York", aggregation_strategy="none")
    assert [word.entity for word in words] == ["B-LOC", "I-LOC"]
    assert client.token_classification("in Rome", ignore_labels=["LOC"]) == []
    assert client.token_classification("nothing") == []


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
