"""Keys, wallets and rate limits mean the same in every contract, each in the client's own words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bundles import tiny_bundle
from serving import client, serving

from freehold.app.gate import ProjectGate
from freehold.bill.customers import add_customer
from freehold.bill.limits import set_limits
from freehold.bill.reconcile import reconcile
from freehold.bill.wallets import top_up, wallet_of
from freehold.clock import SystemClock
from freehold.project import PlanTerms
from freehold.serve.engine import Engine
from freehold.serve.keys import create_key
from freehold.serve.server import ServerThread
from freehold.store.database import Database

clock = SystemClock()
TENSOR = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a b"]}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "hf": ("/models/search", {"inputs": "a b"}),
    "v2": ("/v2/models/search/infer", {"inputs": [TENSOR]}),
    "openai": ("/v1/embeddings", {"model": "search", "input": "a b"}),
}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> list[Engine]:
    folder: Path = tmp_path_factory.mktemp("bundles")
    return [
        Engine.open(tiny_bundle("sentence-embedding", folder / name, model=name), threads=1)
        for name in ("search", "secret")
    ]


@pytest.fixture
def server(engines: list[Engine], sqlite: Database) -> Iterator[ServerThread]:
    gate = ProjectGate(sqlite, clock, "srv")
    with serving(gate, *engines) as running:
        yield running
    gate.close()


def ask(http: httpx.Client, contract: str, **headers: str) -> httpx.Response:
    path, body = ASKED[contract]
    return http.post(path, json=body, headers=headers)


def sentence(response: httpx.Response, contract: str) -> str:
    error = response.json()["error"]
    return str(error["message"] if contract == "openai" else error)


def test_a_key_for_one_model_sees_and_asks_no_other(sqlite: Database, server: ServerThread) -> None:
    add_customer(sqlite, "ada", PlanTerms(name="p"), clock, currency="EUR", customer_id="ada")
    _, key = create_key(sqlite, "ada", clock, models=["search"])
    with client(server, key) as http:
        for contract in ASKED:
            assert ask(http, contract).status_code == 200
        assert [one["id"] for one in http.get("/v1/models").json()["data"]] == ["search"]
        assert [one["name"] for one in http.post("/v2/repository/index").json()] == ["search"]
        assert [one["name"] for one in http.get("/models").json()["models"]] == ["search"]
        for path in ("/v1/models/secret", "/v2/models/secret", "/v2/models/secret/ready"):
            assert http.get(path).status_code == 403
        body = {"model": "secret", "input": "a"}
        refused = http.post("/v1/embeddings", json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("contract", list(ASKED))
def test_an_empty_wallet(contract: str, sqlite: Database, server: ServerThread) -> None:
    plan = PlanTerms(name="ahead", prepaid=True)
    add_customer(sqlite, "ada", plan, clock, currency="EUR", customer_id="ada")
    top_up(sqlite, "ada", 1, clock)
    with client(server, create_key(sqlite, "ada", clock)[1]) as http:
        first = ask(http, contract, **{"Idempotency-Key": "k"})
        again = ask(http, contract, **{"Idempotency-Key": "k"})
        assert (first.status_code, again.content) == (200, first.content)
        refused = ask(http, contract)
        assert refused.status_code == 402
        assert "left" in sentence(refused, contract)
        if contract == "openai":
            assert refused.json()["error"]["code"] == "insufficient_quota"
    assert wallet_of(sqlite, "ada").left == 0
    assert reconcile(sqlite, clock).difference == 0


@pytest.mark.parametrize("contract", list(ASKED))
def test_a_limit_a_minute(contract: str, sqlite: Database, server: ServerThread) -> None:
    add_customer(sqlite, "ada", PlanTerms(name="p"), clock, currency="EUR", customer_id="ada")
    set_limits(sqlite, "ada", {"requests_per_minute": 1}, clock)
    with client(server, create_key(sqlite, "ada", clock)[1]) as http:
        assert ask(http, contract).headers["ratelimit"]
        refused = ask(http, contract)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["ratelimit-policy"]
        assert sentence(refused, contract)
