"""The Open Inference Protocol V2 with the real client, tritonclient.http, over real bundles."""

from __future__ import annotations

import gzip
import json
import re
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from bundles import tiny_bundle
from serving import (
    LABELS,
    SETTINGS,
    DatabaseGate,
    FakeEngine,
    FakeMeta,
    NoGate,
    add_customer,
    client,
    rows,
    serving,
)
from tritonclient.utils import InferenceServerException

from freehold.serve.engine import Engine
from freehold.serve.keys import KeyRing
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database
from freehold.tasks.registry import kinds

KEY = {"Authorization": "Bearer fh_x"}
TEXTS = ["where is my card", "", "naïve – 中"]
CLASSIFIER = "text-classification"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: Engine.open(tiny_bundle(kind, folder / kind), threads=1) for kind in kinds()}


@pytest.fixture(scope="module")
def server(engines: dict[str, Engine]) -> Iterator[ServerThread]:
    with serving(NoGate(), *engines.values()) as running:
        yield running


@pytest.fixture(scope="module")
def asking(server: ServerThread) -> Iterator[triton.InferenceServerClient]:
    with connected(server) as found:
        yield found


def connected(server: ServerThread) -> triton.InferenceServerClient:
    return triton.InferenceServerClient(server.url.removeprefix("http://"))


def tensor(name: str, texts: Sequence[str], *, binary: bool = True, wide: bool = False) -> Any:
    values = np.array([text.encode() for text in texts], dtype=object)
    if wide:
        values = values[:, None]
    found = triton.InferInput(name, list(values.shape), "BYTES")
    return found.set_data_from_numpy(values, binary_data=binary)


def answers(engine: Engine, inputs: Sequence[Any]) -> list[Any]:
    encoded = engine.encode(inputs)
    return [engine.answer(one, row) for one, row in zip(encoded, engine.run(encoded), strict=True)]


def said(values: Any) -> list[str]:
    return [one.decode() if isinstance(one, bytes) else one for one in values]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("received", [False, True])
def test_json_and_binary_tensors_both_ways(
    engines: dict[str, Engine],
    asking: triton.InferenceServerClient,
    sent: bool,
    received: bool,
    wide: bool,
) -> None:
    names = ("label", "score", "scores")
    wanted = [triton.InferRequestedOutput(name, binary_data=received) for name in names]
    result = asking.infer(
        CLASSIFIER,
        [tensor("text", TEXTS, binary=sent, wide=wide)],
        outputs=wanted,
        request_id="mine",
        headers=dict(KEY),
    )
    expected = answers(engines[CLASSIFIER], TEXTS)
    assert said(result.as_numpy("label")) == [one.label for one in expected]
    assert result.as_numpy("score").dtype == np.float32
    np.testing.assert_allclose(result.as_numpy("score"), [a.score for a in expected], rtol=1e-5)
    table = [[dict(one.scores)[label] for label in LABELS] for one in expected]
    np.testing.assert_allclose(result.as_numpy("scores"), table, rtol=1e-5)
    shown = result.get_response()
    assert (shown["id"], shown["model_name"], shown["model_version"]) == ("mine", CLASSIFIER, "1")


def test_without_outputs_all_come_as_bytes(asking: triton.InferenceServerClient) -> None:
    result = asking.infer(CLASSIFIER, [tensor("text", TEXTS)], headers=dict(KEY))
    shown = result.get_response()
    assert [one["name"] for one in shown["outputs"]] == ["label", "score", "scores"]
    assert all("binary_data_size" in one["parameters"] for one in shown["outputs"])
    assert "id" not in shown


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_packed_both_ways(asking: triton.InferenceServerClient, algorithm: str) -> None:
    texts = [f"{number} where is my card" for number in range(100)]
    plain, packed = (
        asking.infer(
            CLASSIFIER,
            [tensor("text", texts)],
            headers=dict(KEY),
            request_compression_algorithm=how,
            response_compression_algorithm=how,
        )
        for how in (None, algorithm)
    )
    np.testing.assert_array_equal(plain.as_numpy("label"), packed.as_numpy("label"))
    np.testing.assert_allclose(plain.as_numpy("scores"), packed.as_numpy("scores"), rtol=1e-4)


def test_the_highest_labels_as_triton_writes_them(
    engines: dict[str, Engine], asking: triton.InferenceServerClient
) -> None:
    for binary in (True, False):
        wanted = [triton.InferRequestedOutput("scores", binary_data=binary, class_count=2)]
        result = asking.infer(
            CLASSIFIER, [tensor("text", TEXTS)], outputs=wanted, headers=dict(KEY)
        )
        for row, answer in zip(
            result.as_numpy("scores"), answers(engines[CLASSIFIER], TEXTS), strict=True
        ):
            for shown, (label, score) in zip(said(row), answer.scores[:2], strict=True):
                figure, place, name = shown.split(":")
                assert (LABELS[int(place)], name) == (label, label)
                assert float(figure) == pytest.approx(score, abs=1e-5)


def test_tensors_of_multi_label(
    engines: dict[str, Engine], asking: triton.InferenceServerClient
) -> None:
    kind = "multi-label-classification"
    result = asking.infer(kind, [tensor("text", TEXTS)], headers=dict(KEY))
    for row, (scores, chosen) in enumerate(
        zip(result.as_numpy("scores"), result.as_numpy("chosen"), strict=True)
    ):
        (answer,) = answers(engines[kind], [TEXTS[row]])
        assert dict(zip(LABELS, scores, strict=True)) == pytest.approx(dict(answer.scores))
        assert {LABELS[at] for at in np.flatnonzero(chosen)} == set(answer.chosen)
        assert chosen.dtype == np.bool_


def test_tensors_of_words(engines: dict[str, Engine], asking: triton.InferenceServerClient) -> None:
    kind, texts = "token-classification", ["a b c d", "", "e f g h i j k"]
    result = asking.infer(kind, [tensor("text", texts)], headers=dict(KEY))
    expected = [
        (row, one.type, one.word, one.start, one.end)
        for row, answer in enumerate(answers(engines[kind], texts))
        for one in answer.entities
    ]
    assert len({row for row, *_ in expected}) == 2
    columns = [result.as_numpy(name) for name in ("row", "entity", "word", "start", "end")]
    found = [
        (int(row), entity.decode(), word.decode(), int(start), int(end))
        for row, entity, word, start, end in zip(*columns, strict=True)
    ]
    assert found == expected
    assert result.as_numpy("score").shape == (len(expected),)
    nothing = asking.infer(kind, [tensor("text", [""])], headers=dict(KEY))
    assert nothing.as_numpy("entity").shape == (0,)


def test_tensors_of_numbers_and_pairs(
    engines: dict[str, Engine], asking: triton.InferenceServerClient
) -> None:
    result = asking.infer("regression", [tensor("text", TEXTS)], headers=dict(KEY))
    expected = [one.score for one in answers(engines["regression"], TEXTS)]
    np.testing.assert_allclose(result.as_numpy("score"), expected, rtol=1e-4)
    others = ["a b", "c", "d"]
    pairs = list(zip(TEXTS, others, strict=True))
    both = [tensor("text_pair", others), tensor("text", TEXTS, binary=False)]
    scored = asking.infer("pair-scoring", both, headers=dict(KEY))
    expected = [one.score for one in answers(engines["pair-scoring"], pairs)]
    np.testing.assert_allclose(scored.as_numpy("score"), expected, rtol=1e-4)
    labelled = asking.infer("pair-classification", both, headers=dict(KEY))
    expected = [one.label for one in answers(engines["pair-classification"], pairs)]
    assert said(labelled.as_numpy("label")) == expected


def test_tensors_of_answers_and_vectors(
    engines: dict[str, Engine], asking: triton.InferenceServerClient
) -> None:
    asked = [("b c", "x y z e f g"), ("a", "")]
    inputs = [tensor("question", ["b c", "a"]), tensor("context", ["x y z e f g", ""])]
    result = asking.infer("question-answering", inputs, headers=dict(KEY))
    expected = answers(engines["question-answering"], asked)
    assert said(result.as_numpy("answer")) == [one.answer for one in expected]
    assert result.as_numpy("start").tolist() == [one.start for one in expected]
    assert result.as_numpy("end").dtype == np.int32
    vectors = asking.infer("sentence-embedding", [tensor("text", TEXTS)], headers=dict(KEY))
    rows_ = np.stack([one.vector for one in answers(engines["sentence-embedding"], TEXTS)])
    np.testing.assert_allclose(vectors.as_numpy("embedding"), rows_, atol=1e-6)


def test_what_the_server_and_its_models_say(asking: triton.InferenceServerClient) -> None:
    assert asking.is_server_live()
    assert asking.is_server_ready()
    assert "binary_tensor_data" in asking.get_server_metadata()["extensions"]
    assert asking.is_model_ready(CLASSIFIER, headers=KEY)
    assert asking.is_model_ready(CLASSIFIER, "1", headers=KEY)
    assert not asking.is_model_ready(CLASSIFIER, "2", headers=KEY)
    assert not asking.is_model_ready("nope", headers=KEY)
    about = asking.get_model_metadata(CLASSIFIER, "1", headers=KEY)
    assert (about["name"], about["versions"]) == (CLASSIFIER, ["1"])
    assert about["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert about["outputs"][2] == {"name": "scores", "datatype": "FP32", "shape": [-1, 4]}
    assert about["parameters"]["labels"] == list(LABELS)
    config = asking.get_model_config("sentence-embedding", headers=KEY)
    assert config["output"] == [{"name": "embedding", "data_type": "TYPE_FP32", "dims": [-1, -1]}]
    index = asking.get_model_repository_index(headers=KEY)
    assert {one["name"] for one in index} == set(kinds())
    assert {(one["version"], one["state"]) for one in index} == {("1", "READY")}


@pytest.mark.parametrize("kind", kinds())
def test_answers_have_the_tensors_that_metadata_says(
    kind: str, asking: triton.InferenceServerClient
) -> None:
    about = asking.get_model_metadata(kind, headers=KEY)
    inputs = [tensor(one["name"], TEXTS) for one in about["inputs"]]
    shown = asking.infer(kind, inputs, headers=dict(KEY)).get_response()["outputs"]
    assert [(o["name"], o["datatype"]) for o in shown] == [
        (o["name"], o["datatype"]) for o in about["outputs"]
    ]
    for found, described in zip(shown, about["outputs"], strict=True):
        assert len(found["shape"]) == len(described["shape"])
        for size, bound in zip(found["shape"], described["shape"], strict=True):
            assert bound in (-1, size)


def test_a_version_means_exactly_that_one(asking: triton.InferenceServerClient) -> None:
    (text,) = [tensor("text", ["a"])]
    result = asking.infer(CLASSIFIER, [text], model_version="1", headers=dict(KEY))
    assert result.get_response()["model_version"] == "1"
    for version in ("2", "01", "latest"):
        with pytest.raises(InferenceServerException, match=f"no model '{CLASSIFIER}@{version}'"):
            asking.infer(CLASSIFIER, [text], model_version=version, headers=dict(KEY))


def test_errors_reach_the_client_as_sentences(asking: triton.InferenceServerClient) -> None:
    text = tensor("text", ["a"])
    asked: list[tuple[str, Any, dict[str, Any], str, str]] = [
        ("nope", [text], {}, "404", "no model 'nope'"),
        (CLASSIFIER, [text], {"headers": {}}, "401", "API key is missing"),
        (CLASSIFIER, [tensor("words", ["a"])], {}, "422", "takes the inputs text, each once"),
        (CLASSIFIER, [text, text], {}, "422", "takes the inputs text, each once"),
        (CLASSIFIER, [tensor("text", [])], {}, "422", "has no text"),
        (CLASSIFIER, [text], {"parameters": {"top_k": 1}}, "422", "field 'top_k'"),
        (CLASSIFIER, [text], {"priority": 1}, "422", "field 'priority'"),
        (CLASSIFIER, [text], {"sequence_id": 7}, "422", "field 'sequence_"),
        (CLASSIFIER, [tensor("text", ["a"] * 300)], {}, "422", "this server takes 256"),
        ("pair-scoring", [text], {}, "422", "the same number of texts"),
        (
            CLASSIFIER,
            [text],
            {"outputs": [triton.InferRequestedOutput("logits")]},
            "422",
            "gives the outputs label, score, scores",
        ),
        (
            CLASSIFIER,
            [text],
            {"outputs": [triton.InferRequestedOutput("label", class_count=1)]},
            "422",
            "no figures of labels",
        ),
    ]
    numbers = triton.InferInput("text", [1], "FP32").set_data_from_numpy(np.ones(1, np.float32))
    asked.append((CLASSIFIER, [numbers], {}, "422", "texts are BYTES"))
    shared = triton.InferInput("text", [1], "BYTES").set_shared_memory("region", 4)
    asked.append((CLASSIFIER, [shared], {}, "422", "field 'shared_memory_"))
    for model, inputs, options, status, said in asked:
        with pytest.raises(InferenceServerException, match=said) as refused:
            asking.infer(model, inputs, **{"headers": dict(KEY), **options})
        assert refused.value.status() == status
        assert "\n" not in refused.value.message()


def infer(http: httpx.Client, content: bytes, **headers: str) -> httpx.Response:
    return http.post(f"/v2/models/{CLASSIFIER}/infer", content=content, headers=headers)


def body(size: int, shape: Sequence[int] = (1,), **more: Any) -> bytes:
    parameters = {"binary_data_size": size}
    one = {"name": "text", "datatype": "BYTES", "shape": shape, "parameters": parameters, **more}
    return json.dumps({"inputs": [one]}).encode()


@pytest.mark.parametrize(
    ("head", "rest", "split", "said"),
    [
        (body(5), b"\1\0\0\0a", -1, "but they are not there"),
        (body(5), b"\1\0\0\0", None, "but they are not there"),
        (body(5, data=["a"]), b"\1\0\0\0a", None, "but they are not there"),
        (body(5), b"\1\0\0\0a+", None, "6 bytes were sent; binary_data_size says 5"),
        (body(5), b"\2\0\0\0a", None, "end within text 0"),
        (body(8), b"\1\0\0\0a\1\0\0", None, "end within text 1"),
        (body(5), b"\1\0\0\0\xff", None, "Text 0 of the input text is not UTF-8"),
        (body(5, [2]), b"\1\0\0\0a", None, "has 1 texts; its shape .2. says 2"),
        (body(5, [1, 1, 1]), b"\1\0\0\0a", None, "has the shape"),
        (body(5, [1, 2]), b"\1\0\0\0a", None, "has the shape"),
        (body(5, []), b"\1\0\0\0a", None, "shape"),
        (body(5), b"\1\0\0\0a", 9999, "not the length of the JSON"),
        (body(5), b"\1\0\0\0a", 10, "not JSON"),
        (b"[]", b"", None, "body is not an object"),
        (b"{}", b"", None, 'has no "inputs"'),
        (b'{"inputs": [{"data": ' + b"[" * 99999, b"", None, "nested too deeply"),
        (b'{"inputs": [{"name": "\xff"}]}', b"", None, "not JSON"),
    ],
)
def test_bodies_that_do_not_hold_what_they_say(
    server: ServerThread, head: bytes, rest: bytes, split: int | None, said: str
) -> None:
    length = str(len(head) if split is None else split)
    headers = {"Inference-Header-Content-Length": length} if split != -1 or not rest else {}
    with client(server, "k") as http:
        content = head if split == -1 else head + rest
        response = infer(http, content, **headers)
    assert response.status_code == 422, response.text
    assert list(response.json()) == ["error"]
    assert re.search(said, response.json()["error"])


def test_a_bomb_is_refused_unread(server: ServerThread) -> None:
    bomb = gzip.compress(b" " * (SETTINGS.max_body_bytes + 1))
    with client(server, "k") as http:
        response = infer(http, bomb, **{"Content-Encoding": "gzip"})
        assert (response.status_code, list(response.json())) == (413, ["error"])
        assert http.get(f"/v2/models/{CLASSIFIER}/infer").status_code == 405
        assert list(http.get("/v2/nothing").json()) == ["error"]


def test_a_retry_has_the_same_bytes_and_headers(
    engines: dict[str, Engine], database: Database
) -> None:
    key = add_customer(database)
    text = b"\4\0\0\0card"
    binary = body(8)[:-1] + b', "parameters": {"binary_data_output": true}}'
    json_ = json.dumps(
        {"id": "x", "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]}
    ).encode()
    split = {"Inference-Header-Content-Length": str(len(binary))}
    shown = ("content-type", "inference-header-content-length", "content-encoding")
    for name, content, headers in (("bytes", binary + text, split), ("json", json_, {})):
        before = len(rows(database, schema.usage_events))
        found = []
        for _ in range(2):  # by two servers, the second of which has nothing but the database
            gate = DatabaseGate(database, KeyRing(database))
            with (
                serving(gate, engines[CLASSIFIER]) as server,
                client(server, key) as http,
            ):
                found.append(infer(http, content, **{"Idempotency-Key": name, **headers}))
                moved = {"Inference-Header-Content-Length": "5"}
                other = infer(http, content, **{"Idempotency-Key": name, **moved})
                assert other.status_code == 409
        first, second = found
        assert first.status_code == second.status_code == 200
        assert second.content == first.content
        assert [second.headers.get(h) for h in shown] == [first.headers.get(h) for h in shown]
        assert second.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers
        assert len(rows(database, schema.usage_events)) == before + 1
        if name == "bytes":
            length = int(second.headers["inference-header-content-length"])
            sizes = [
                one["parameters"]["binary_data_size"]
                for one in json.loads(second.content[:length])["outputs"]
            ]
            assert length + sum(sizes) == len(second.content)
            (size,) = struct.unpack_from("<I", second.content, length)
            assert second.content[length + 4 : length + 4 + size].decode() in LABELS
        else:
            assert second.json()["id"] == "x"


def test_a_full_queue_is_a_429_with_retry_after() -> None:
    engine = FakeEngine(hold=threading.Event())
    assert engine.hold is not None
    second = FakeEngine(FakeMeta(model="other"))
    with serving(NoGate(), engine, second, settings=replace(SETTINGS, queue_tokens=5)) as server:
        http = client(server, "k")
        sent = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a b c"]}]}
        thread = threading.Thread(
            target=http.post, args=("/v2/models/bank/infer",), kwargs={"json": sent}
        )
        thread.start()
        assert engine.running.acquire(timeout=20)
        with connected(server) as asking:
            with pytest.raises(InferenceServerException, match="Too much is waiting") as refused:
                asking.infer("bank", [tensor("text", ["d"])], headers=dict(KEY))
            assert refused.value.status() == "429"
        with client(server, "k") as other:
            response = other.post("/v2/models/bank/infer", json=sent)
            assert int(response.headers["retry-after"]) >= 1
            late = {**sent, "parameters": {"timeout": 1}}
            assert other.post("/v2/models/other/infer", json=late).status_code == 504
        engine.hold.set()
        thread.join(20)
        http.close()
