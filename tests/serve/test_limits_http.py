"""Limits over HTTP: what clients see of them; what was not answered costs nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from serving import FakeEngine, FakeMeta, client, serving, until

from freehold.app.gate import ProjectGate
from freehold.bill.customers import add_customer
from freehold.bill.limits import set_limits
from freehold.bill.reconcile import reconcile
from freehold.bill.wallets import top_up, wallet_of
from freehold.clock import SystemClock
from freehold.project import PlanTerms
from freehold.serve.keys import create_key
from freehold.store import schema
from freehold.store.database import Database

AHEAD = PlanTerms(name="ahead", prepaid=True)
PATH = "/models/bank"
clock = SystemClock()


def customer(database: Database, plan: PlanTerms, units: int = 0, **given: Any) -> str:
    """Ada's key."""
    add_customer(database, "ada", plan, clock, currency="EUR", customer_id="ada")
    if units:
        top_up(database, "ada", units, clock)
    return create_key(database, "ada", clock, **given)[1]


@contextmanager
def limited(database: Database, *engines: FakeEngine) -> Iterator[Any]:
    gate = ProjectGate(database, clock, "srv")
    with serving(gate, *engines) as server:
        yield server
    gate.close()


def events(database: Database) -> int:
    with database.read() as connection:
        count = connection.scalar(sa.select(sa.func.count()).select_from(schema.usage_events))
    return int(count or 0)


def test_a_hundred_callers_on_the_last_units_of_a_wallet(database: Database) -> None:
    key = customer(database, AHEAD, units=37)
    seen: Counter[int] = Counter()
    with limited(database) as server, client(server, key) as http:

        def ask(number: int) -> None:
            answer = http.post(PATH, json={"inputs": f"text {number}"})
            seen[answer.status_code] += 1

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert seen[200] == events(database) == 37
        assert seen[402] + seen[429] == 63
        until(lambda: http.post(PATH, json={"inputs": "more"}).status_code == 402)
        refused = http.post(PATH, json={"inputs": "more"})
        assert "0 inputs are left, the request has 1" in refused.json()["error"]
    wallet = wallet_of(database, "ada")
    assert (wallet.used, wallet.held, wallet.left) == (37, 0, 0)
    assert reconcile(database, clock).difference == 0


def test_a_rate_limit_names_itself_to_clients(sqlite: Database) -> None:
    key = customer(sqlite, replace(AHEAD, prepaid=False, requests_per_minute=3))
    with limited(sqlite) as server, client(server, key) as http:
        first = http.post(PATH, json={"inputs": "a"})
        assert first.headers["RateLimit"] == '"requests";r=2;t=20'
        assert first.headers["RateLimit-Policy"] == '"requests";q=3;w=60'
        for _ in range(2):
            assert http.post(PATH, json={"inputs": "a"}).status_code == 200
        refused = http.post(PATH, json={"inputs": "a"})
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["Retry-After"]) <= 20
        assert refused.headers["RateLimit"].startswith('"requests";r=0;t=')
        hub = InferenceClient(model=server.url + PATH, token=key)
        with pytest.raises(HfHubHTTPError) as told:
            hub.text_classification("a")
        assert told.value.response.status_code == 429
        assert "'requests' rate limit" in str(told.value)
    assert events(sqlite) == 3


def test_what_was_not_answered_costs_nothing(sqlite: Database) -> None:
    """Refused for another reason, broken, replayed, or left before its turn."""
    key = customer(sqlite, AHEAD, units=10)
    hold = threading.Event()
    hold.set()
    engine = FakeEngine(hold=hold)
    with limited(sqlite, engine) as server, client(server, key) as http:
        assert http.post(PATH, json={"inputs": "boom"}).status_code == 500
        assert http.post(PATH, json={"inputs": "garble"}).status_code == 500
        assert http.post(PATH, json={"input": "misspelt"}).status_code == 422
        keyed = {"Idempotency-Key": "k"}
        answers = [http.post(PATH, json={"inputs": ["a", "b"]}, headers=keyed) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert answers[2].headers["Idempotency-Replayed"] == "true"
        hold.clear()
        started = len(engine.batches)
        first = threading.Thread(target=lambda: http.post(PATH, json={"inputs": "first"}))
        first.start()
        until(lambda: len(engine.batches) > started)
        with (
            pytest.raises(httpx.ReadTimeout),
            httpx.Client(timeout=0.3, trust_env=False) as leaving,
        ):
            leaving.post(
                server.url + PATH,
                json={"inputs": ["never", "begun"]},
                headers={"Authorization": f"Bearer {key}"},
            )
        with client(server) as other:
            until(lambda: 'status="499"' in other.get("/metrics").text)
        hold.set()
        first.join(20)
        assert http.post(PATH, json={"inputs": ["x"] * 7}).status_code == 200
    wallet = wallet_of(sqlite, "ada")
    assert (wallet.used, wallet.held, wallet.left) == (10, 0, 0)
    assert reconcile(sqlite, clock).difference == 0


def test_scope_and_end_of_a_key(sqlite: Database) -> None:
    soon = clock.now() + timedelta(seconds=0.5)
    key = customer(sqlite, replace(AHEAD, prepaid=False), models=["bank@1"])
    _, ending = create_key(sqlite, "ada", clock, expires_at=soon)
    news = FakeEngine(meta=FakeMeta(model="news"))
    with limited(sqlite, FakeEngine(), news) as server:
        hub = InferenceClient(token=key)
        for name, status in (("bank", 200), ("bank@1", 200), ("news", 403), ("news@1", 403)):
            with client(server, key) as http:
                answer = http.post(f"/models/{name}", json={"inputs": "a"})
            assert answer.status_code == status
        assert answer.json()["error"] == (
            "This API key is not for model news@1. It is for: bank@1."
        )
        with client(server, key) as http:
            assert [one["name"] for one in http.get("/models").json()["models"]] == ["bank"]
        with pytest.raises(HfHubHTTPError) as told:
            hub.text_classification("a", model=f"{server.url}/models/news")
        assert told.value.response.status_code == 403
        until(lambda: clock.now() > soon)
        with pytest.raises(HfHubHTTPError) as told:
            InferenceClient(model=server.url + PATH, token=ending).text_classification("a")
        assert told.value.response.status_code == 401
        assert "expired on" in told.value.response.json()["error"]


def test_limits_are_set_while_it_serves(sqlite: Database) -> None:
    key = customer(sqlite, replace(AHEAD, prepaid=False))
    with limited(sqlite) as server, client(server, key) as http:
        assert "RateLimit" not in http.post(PATH, json={"inputs": "a"}).headers
        set_limits(sqlite, "ada", {"quota": 2}, clock)

        def bounded() -> bool:
            return "RateLimit" in http.post(PATH, json={"inputs": "a b c"}).headers

        until(bounded)
        refused = http.post(PATH, json={"inputs": "a"})
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 1
        assert "quota of 2 inputs a month" in refused.json()["error"]
        set_limits(sqlite, "ada", {"quota": None}, clock)
        until(lambda: http.post(PATH, json={"inputs": "a"}).status_code == 200)


def test_a_key_has_limits_of_its_own_within_its_customers(sqlite: Database) -> None:
    key = customer(sqlite, replace(AHEAD, prepaid=False, quota=5))
    bounded, other = create_key(sqlite, "ada", clock)
    set_limits(sqlite, bounded, {"quota": 1, "tokens_per_minute": 100}, clock)
    with limited(sqlite) as server:
        with client(server, other) as http:
            first = http.post(PATH, json={"inputs": "a"})
            assert first.headers["RateLimit-Policy"].count('"key_') == 2
            refused = http.post(PATH, json={"inputs": "a"})
        assert (refused.status_code, events(sqlite)) == (429, 1)
        assert refused.json()["error"].startswith("This API key's quota of 1 inputs")
        with client(server, key) as http:
            assert http.post(PATH, json={"inputs": ["a"] * 5}).status_code == 429
            assert http.post(PATH, json={"inputs": ["a"] * 4}).status_code == 200
