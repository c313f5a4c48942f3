"""Zero-shot classification with the real client, over real bundles: by entailment, by vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from bundles import tiny_bundle
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from serving import DatabaseGate, FakeMeta, NoGate, add_customer, client, rows, serving

from freehold.errors import InputError
from freehold.serve.contracts.hf import decode
from freehold.serve.engine import Engine
from freehold.serve.keys import KeyRing
from freehold.serve.server import ServerThread
from freehold.store import schema
from freehold.store.database import Database
from freehold.tasks.answers import TextAnswer, VectorAnswer
from freehold.tasks.zero_shot import ByCosine, ByEntailment, Labelling

LABELS = ["a b", "c", "d e f"]
NLI = "pair-classification"
VECTORS = "sentence-embedding"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    folder = tmp_path_factory.mktemp("bundles")
    two = tiny_bundle(NLI, folder / "two", model="two", labels=("entailment", "not_entailment"))
    other = tiny_bundle(NLI, folder / "same", model="same", labels=("same", "other"))
    paths = [tiny_bundle(kind, folder / kind) for kind in (NLI, VECTORS, "text-classification")]
    return {e.meta.model: e for e in (Engine.open(p, threads=1) for p in (*paths, two, other))}


@pytest.fixture(scope="module")
def server(engines: dict[str, Engine]) -> Iterator[ServerThread]:
    with serving(NoGate(), *engines.values()) as running:
        yield running


def hf(server: ServerThread, model: str) -> InferenceClient:
    return InferenceClient(model=f"{server.url}/models/{model}", token="fh_x")


def answers(engine: Engine, inputs: Sequence[Any]) -> list[Any]:
    encoded = engine.encode(inputs)
    return [engine.answer(one, row) for one, row in zip(encoded, engine.run(encoded), strict=True)]


def test_entailment_says_which_label_fits(engines: dict[str, Engine], server: ServerThread) -> None:
    found = hf(server, NLI).zero_shot_classification("a b c", LABELS)
    pairs = [("a b c", f"This example is {label}.") for label in LABELS]
    chances = [dict(one.scores)["entailment"] for one in answers(engines[NLI], pairs)]
    expected = dict(zip(LABELS, np.array(chances) / sum(chances), strict=True))
    assert {one.label: one.score for one in found} == pytest.approx(expected, abs=1e-6)
    assert [one.score for one in found] == sorted(expected.values(), reverse=True)
    assert sum(one.score for one in found) == pytest.approx(1.0)


@pytest.mark.parametrize("model", [NLI, "two"])
def test_with_multi_label_each_label_stands_alone(
    engines: dict[str, Engine], server: ServerThread, model: str
) -> None:
    template = "it says {}, {}"
    found = hf(server, model).zero_shot_classification(
        "a b c", LABELS, multi_label=True, hypothesis_template=template
    )
    pairs = [("a b c", f"it says {label}, {label}") for label in LABELS]
    for label, answer in zip(LABELS, answers(engines[model], pairs), strict=True):
        chance = dict(answer.scores)
        against = chance.get("contradiction", chance.get("not_entailment"))
        (score,) = [one.score for one in found if one.label == label]
        assert score == pytest.approx(chance["entailment"] / (chance["entailment"] + against))


def test_vectors_say_which_label_is_near(engines: dict[str, Engine], server: ServerThread) -> None:
    said = [f"This example is {label}." for label in LABELS]
    text, *others = (one.vector for one in answers(engines[VECTORS], ["a b c", *said]))
    cosines = np.array([text @ other for other in others], np.float64)
    powers = np.exp(20 * cosines)
    found = hf(server, VECTORS).zero_shot_classification("a b c", LABELS)
    expected = dict(zip(LABELS, powers / powers.sum(), strict=True))
    assert {one.label: one.score for one in found} == pytest.approx(expected, abs=1e-4)
    alone = hf(server, VECTORS).zero_shot_classification("a b c", LABELS, multi_label=True)
    expected = dict(zip(LABELS, np.clip(cosines, 0, 1), strict=True))
    assert {one.label: one.score for one in alone} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", [NLI, VECTORS])
def test_a_list_of_texts_is_answered_with_a_list(server: ServerThread, model: str) -> None:
    parameters = {"candidate_labels": LABELS}
    with client(server, "k") as http:
        both, one = (
            http.post(f"/models/{model}", json={"inputs": inputs, "parameters": parameters}).json()
            for inputs in (["a b c", "f"], "a b c")
        )
    assert [len(row) for row in both] == [3, 3]
    for a, b in zip(both[0], one, strict=True):
        assert (a["label"], a["score"]) == (b["label"], pytest.approx(b["score"], abs=1e-6))


def test_what_the_model_reads_is_metered(engines: dict[str, Engine], sqlite: Database) -> None:
    key = add_customer(sqlite)
    gate = DatabaseGate(sqlite, KeyRing(sqlite))
    body = {"inputs": ["a b c", "f"], "parameters": {"candidate_labels": LABELS}}
    with serving(gate, *engines.values()) as server, client(server, key) as http:
        for model in (NLI, VECTORS):
            assert http.post(f"/models/{model}", json=body).status_code == 200
    pairs, texts = rows(sqlite, schema.usage_events)
    hypotheses = [f"This example is {label}." for label in LABELS]
    read = engines[NLI].encode([(text, other) for text in ("a b c", "f") for other in hypotheses])
    assert (pairs.inputs, pairs.tokens) == (6, sum(one.length for one in read))
    read = engines[VECTORS].encode(["a b c", "f", *hypotheses])
    assert (texts.inputs, texts.tokens) == (5, sum(one.length for one in read))


def test_who_cannot_tell_says_so(server: ServerThread) -> None:
    with pytest.raises(HfHubHTTPError, match="no label entailment, but same, other"):
        hf(server, "same").zero_shot_classification("a", LABELS)
    with pytest.raises(HfHubHTTPError, match="field 'candidate_labels' that is not known"):
        hf(server, "text-classification").zero_shot_classification("a", LABELS)
    with pytest.raises(HfHubHTTPError, match=r"hypothesis_template.*with \{\} in its place"):
        hf(server, NLI).zero_shot_classification("a", LABELS, hypothesis_template="no place")
    with pytest.raises(HfHubHTTPError, match="candidate_labels"):
        hf(server, NLI).zero_shot_classification("a", [])


@pytest.mark.parametrize(
    ("inputs", "parameters", "said"),
    [
        ([], {}, "inputs is an empty list"),
        ("a", {"candidate_labels": ["x"] * 9}, "has 9 inputs; this server takes 8"),
        (["a"] * 5, {"candidate_labels": ["x", "y"]}, "has 10 inputs; this server takes 8"),
        ({"text": "a", "text_pair": "b"}, {}, r"inputs\[0\] is not a text, but an object"),
        ("a", {"candidate_labels": "x, y"}, "parameters.candidate_labels is not a list"),
        ("a", {"candidate_labels": [1]}, "candidate_labels.* is not a text"),
        ("a", {"top_k": 1}, "field 'top_k'"),
    ],
)
def test_what_is_refused_and_why(inputs: Any, parameters: dict[str, Any], said: str) -> None:
    meta = FakeMeta(task=NLI, labels=("entailment", "neutral", "contradiction"))
    asked = {"candidate_labels": ["x"], **parameters}
    with pytest.raises(InputError, match=said) as refused:
        decode(
            httpx.Request("POST", "http://x", json={"inputs": inputs, "parameters": asked}).content,
            meta,
            8,
        )
    assert len(refused.value.sentence()) < 250


def test_scores_where_nothing_fits() -> None:
    asked = Labelling(candidate_labels=["x", "y"])
    never = TextAnswer((("neutral", 1.0), ("entailment", 0.0), ("contradiction", 0.0)))
    assert ByEntailment().scores([never, never], 1, asked).tolist() == [[0.5, 0.5]]
    away = [VectorAnswer(np.array(one, np.float32)) for one in ((1, 0), (-1, 0), (0, 1))]
    alone = Labelling(candidate_labels=["x", "y"], multi_label=True)
    assert ByCosine().scores(away, 1, alone).tolist() == [[0.0, 0.0]]
