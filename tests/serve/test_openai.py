"""OpenAI's embeddings and models with the real client, over a real bundle."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import schemathesis
from bundles import tiny_bundle
from hypothesis import HealthCheck, Phase, given, settings
from serving import (
    SETTINGS,
    DatabaseGate,
    FakeEngine,
    NoGate,
    add_customer,
    client,
    rows,
    serving,
)

from freehold.serve.engine import Engine
from freehold.serve.keys import KeyRing
from freehold.serve.openapi import document
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database

TEXTS = ["where is my card", "", "naïve – 中"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder: Path = tmp_path_factory.mktemp("bundle")
    return Engine.open(tiny_bundle("sentence-embedding", folder, model="search"), threads=1)


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[ServerThread]:
    with serving(NoGate(), engine, FakeEngine()) as running:
        yield running


@pytest.fixture(scope="module")
def asking(server: ServerThread) -> Iterator[openai.OpenAI]:
    with connected(server) as found:
        yield found


def connected(server: ServerThread, key: str = "fh_x") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0)


def vectors(engine: Engine, texts: Sequence[str]) -> np.ndarray:
    encoded = engine.encode(texts)
    answers = [
        engine.answer(one, row) for one, row in zip(encoded, engine.run(encoded), strict=True)
    ]
    return np.stack([answer.vector for answer in answers])  # type: ignore[attr-defined]


def test_embeddings(engine: Engine, asking: openai.OpenAI) -> None:
    expected = vectors(engine, TEXTS)
    found = asking.embeddings.create(model="search", input=TEXTS)  # base64 on the wire
    assert (found.object, found.model) == ("list", "search")
    assert [one.index for one in found.data] == [0, 1, 2]
    np.testing.assert_allclose([one.embedding for one in found.data], expected, atol=1e-6)
    tokens = sum(one.length for one in engine.encode(TEXTS))
    assert (found.usage.prompt_tokens, found.usage.total_tokens) == (tokens, tokens)
    listed = asking.embeddings.create(model="search", input=TEXTS, encoding_format="float")
    np.testing.assert_allclose([one.embedding for one in listed.data], expected, atol=1e-6)
    (alone,) = asking.embeddings.create(model="search@1", input=TEXTS[0], user="u").data
    np.testing.assert_allclose(alone.embedding, expected[0], atol=1e-6)


def test_what_base64_holds(engine: Engine, asking: openai.OpenAI) -> None:
    raw = asking.embeddings.with_raw_response.create(
        model="search", input=TEXTS, encoding_format="base64"
    )
    packed = raw.http_response.json()["data"][0]["embedding"]
    found = np.frombuffer(base64.b64decode(packed), "<f4")
    np.testing.assert_allclose(found, vectors(engine, TEXTS)[0], atol=1e-6)


def test_models(asking: openai.OpenAI) -> None:
    models = asking.models.list().data
    assert [model.id for model in models] == ["bank", "search"]
    assert {(model.object, model.owned_by) for model in models} == {("model", "freehold")}
    assert all(model.created > 1_700_000_000 for model in models)
    assert asking.models.retrieve("search") == models[1]
    assert asking.models.retrieve("search@1").id == "search@1"
    with pytest.raises(openai.NotFoundError) as refused:
        asking.models.retrieve("nope")
    assert refused.value.code == "model_not_found"


LONG = "a " * 99


@pytest.mark.parametrize(
    ("asked", "kind", "param", "code", "said"),
    [
        ({"model": "nope"}, openai.NotFoundError, None, "model_not_found", "no model 'nope'"),
        ({"model": "bank"}, openai.BadRequestError, "model", None, "is for text-classification"),
        ({"dimensions": 4}, openai.BadRequestError, "dimensions", None, "Leave dimensions out"),
        ({"dimensions": 0}, openai.BadRequestError, "dimensions", None, ">= 1"),
        ({"input": []}, openai.BadRequestError, "input", None, "a text or a list of texts"),
        ({"input": [1, 2]}, openai.BadRequestError, "input", None, "holds token ids"),
        ({"input": [[1, 2]]}, openai.BadRequestError, "input", None, "holds token ids"),
        (
            {"input": ["a", None]},
            openai.BadRequestError,
            "input",
            None,
            r"input\[1\] is not a text",
        ),
        ({"input": ["a", LONG]}, openai.BadRequestError, "input", None, "Text 1 of input"),
        ({"input": ["a"] * 257}, openai.BadRequestError, None, None, "takes 256"),
        ({"encoding_format": "hex"}, openai.BadRequestError, "encoding_format", None, "hex"),
        ({"extra_body": {"depth": 1}}, openai.BadRequestError, None, None, "field 'depth'"),
    ],
)
def test_errors_reach_the_client_as_it_knows_them(
    asking: openai.OpenAI,
    asked: dict[str, Any],
    kind: type[openai.APIStatusError],
    param: str | None,
    code: str | None,
    said: str,
) -> None:
    with pytest.raises(kind, match=said) as refused:
        asking.embeddings.create(**{"model": "search", "input": "a", **asked})
    error = refused.value
    assert (error.type, error.param, error.code) == ("invalid_request_error", param, code)
    assert error.request_id


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "The body is not an object"),
        (b"{}", 'The body has no "model"'),
        (b'{"model": "search", "input": "\xff"}', "not UTF-8"),
        (b'{"model": "search", "input": ' + b"[" * 99999, "nested too deeply"),
    ],
)
def test_bodies_that_are_not_usable(server: ServerThread, sent: bytes, said: str) -> None:
    with client(server, "k") as http:
        response = http.post("/v1/embeddings", content=sent)
    assert response.status_code == 400
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert said in response.json()["error"]["message"]


def test_errors_beside_asking_have_the_same_shape(server: ServerThread) -> None:
    with client(server) as http:
        for response, status in (
            (http.post("/v1/embeddings", json={}), 401),
            (http.get("/v1/models"), 401),
            (http.get("/v1/embeddings"), 405),
            (http.get("/v1/nothing"), 404),
        ):
            assert response.status_code == status
            assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_a_retry_has_the_same_bytes_and_is_billed_once(engine: Engine, database: Database) -> None:
    gate = DatabaseGate(database, KeyRing(database))
    with serving(gate, engine) as server, connected(server, add_customer(database)) as asking:

        def ask(text: str) -> httpx.Response:
            return asking.embeddings.with_raw_response.create(
                model="search", input=text, extra_headers={"Idempotency-Key": "order-1"}
            ).http_response  # type: ignore[return-value]

        first, second = ask("a b"), ask("a b")
        assert second.content == first.content
        assert second.headers["content-type"] == first.headers["content-type"]
        assert second.headers["idempotency-replayed"] == "true"
        with pytest.raises(openai.ConflictError) as refused:
            ask("c")
        assert refused.value.response.headers["x-should-retry"] == "false"
        with connected(server, "fh_wrong") as nobody:
            with pytest.raises(openai.AuthenticationError) as unknown:
                nobody.models.list()
            assert unknown.value.code == "invalid_api_key"
    (event,) = rows(database, schema.usage_events)
    assert (event.model, event.inputs) == ("search", 1)
    assert event.tokens == first.json()["usage"]["prompt_tokens"]


def test_a_full_queue_is_a_429_with_retry_after(engine: Engine) -> None:
    held = FakeEngine(hold=threading.Event())
    assert held.hold is not None
    with serving(NoGate(), engine, held, settings=replace(SETTINGS, queue_tokens=9)) as server:
        http = client(server, "k")
        sent = {"inputs": "one two three four five six"}
        thread = threading.Thread(target=http.post, args=("/models/bank",), kwargs={"json": sent})
        thread.start()
        assert held.running.acquire(timeout=20)
        with connected(server) as asking, pytest.raises(openai.RateLimitError) as refused:
            asking.embeddings.create(model="search", input="a b c d e f")
        assert int(refused.value.response.headers["retry-after"]) >= 1
        assert refused.value.code == "rate_limit_exceeded"
        held.hold.set()
        thread.join(20)
        http.close()


def test_what_the_schema_allows_is_answered(server: ServerThread) -> None:
    described = schemathesis.openapi.from_dict(document(SETTINGS, {"search": "sentence-embedding"}))
    operation = described["/v1/embeddings"]["POST"]

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def allowed(case: schemathesis.Case) -> None:
        case.body["model"] = "search"
        case.headers.pop("Idempotency-Key", None)
        response = case.call_and_validate(
            base_url=server.url,
            headers={"Authorization": "Bearer any"},
            excluded_checks=[
                schemathesis.checks.ignored_auth,
                # A text may be longer than the model reads, which a schema cannot say.
                schemathesis.checks.positive_data_acceptance,
            ],
        )
        assert response.status_code == 200 or "longer than the model reads" in response.text

    allowed()
