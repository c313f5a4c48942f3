"""The answer cache: the same answers without the engine, in bounded memory, metered and billed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serving import (
    SETTINGS,
    DatabaseGate,
    FakeEngine,
    FakeMeta,
    FakeText,
    NoGate,
    client,
    rows,
    serving,
    tiny_engine,
    until,
)

from freehold.bill.customers import add_customer
from freehold.bill.document import Issuer
from freehold.bill.invoices import close
from freehold.bill.periods import period_of
from freehold.bill.plans import check_terms, freeze, thaw
from freehold.bill.rating import rate_usage
from freehold.bill.reconcile import reconcile
from freehold.clock import ManualClock, SystemClock
from freehold.errors import ProjectError
from freehold.project import PlanTerms, Serve, Tier
from freehold.serve.cache import AnswerCache
from freehold.serve.keys import KeyRing, create_key
from freehold.store import schema
from freehold.store.database import Database

BANK = "/models/bank"
CACHING: Serve = replace(SETTINGS, cache_mb=1)


@dataclass
class Counting(FakeEngine):
    encoded: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> list[FakeText]:
        self.encoded.extend(texts)
        return super().encode(texts)


def test_what_was_asked_before_is_neither_tokenised_nor_run_again() -> None:
    engine, gate = Counting(), NoGate()
    with serving(gate, engine, settings=CACHING) as server, client(server, "k") as http:
        first = http.post(BANK, json={"inputs": ["one a", "two b c"]})
        again = http.post(BANK, json={"inputs": ["two b c", "three", "one a"]})
        best = http.post(BANK, json={"inputs": "two b c", "parameters": {"top_k": 1}})
        figures = http.get("/metrics").text
    assert again.json()[0] == first.json()[1]
    assert again.json()[2] == first.json()[0]
    # The parameters are those of each request.
    assert best.json() == [first.json()[1][:1]]
    assert engine.encoded == ["one a", "two b c", "three"]
    assert [text.text for batch in engine.batches for text in batch] == engine.encoded
    counted = [(work.inputs, work.cached_inputs, work.cached_tokens) for work in gate.settled]
    assert counted == [(2, 0, 0), (3, 2, 9), (1, 1, 5)]
    assert [(tally.cached_inputs, tally.cached_tokens) for tally in gate.tallies] == [
        (0, 0),
        (2, 9),
        (1, 5),
    ]
    assert gate.settled[2].compute_us == 0
    assert 'freehold_cached_inputs_total{model="bank",version="1"} 3.0' in figures
    assert 'freehold_cache_inputs_total{model="bank",version="1"} 6.0' in figures


def test_without_the_setting_nothing_is_kept() -> None:
    engine = Counting()
    with serving(NoGate(), engine) as server, client(server, "k") as http:
        for _ in range(2):
            assert http.post(BANK, json={"inputs": "one"}).status_code == 200
        assert "freehold_cached_inputs_total{" not in http.get("/metrics").text
    assert engine.encoded == ["one", "one"]


def test_versions_and_models_do_not_share_answers() -> None:
    cache = AnswerCache(1_000_000)
    one, two = FakeEngine(FakeMeta(version=1)), FakeEngine(FakeMeta(version=2))
    other = FakeEngine(FakeMeta(model="other", version=1))
    (text,) = one.encode(["a"])
    cache.keep(one, "a", text, 5)
    assert cache.find(one, "a") == (text, 5)
    assert cache.find(FakeEngine(FakeMeta(version=1)), "a") == (text, 5)
    for engine, asked in ((two, "a"), (other, "a"), (one, "A"), (one, "a "), (one, ("a",))):
        assert cache.find(engine, asked) is None
    cache.keep(one, ["no key"], text, 5)
    assert cache.find(one, ["no key"]) is None
    assert len(cache) == 1


def test_memory_is_bounded_and_the_least_used_go_first() -> None:
    cache, engine = AnswerCache(20_000), FakeEngine()
    batch = np.zeros((1000, 100), np.float32)
    for number in range(200):
        (text,) = engine.encode([f"text {number}"])
        cache.keep(engine, text.text, text, batch[number])
        assert cache.find(engine, "text 0") is not None
        assert cache.bytes <= 20_000
    assert 5 < len(cache) < 50
    assert cache.find(engine, "text 1") is None
    kept = cache.find(engine, "text 199")
    assert kept is not None
    assert kept[1].base is None  # a row of its own, not one that keeps its batch
    cache.keep(engine, "x" * 30_000, text, batch[0])
    assert cache.find(engine, "x" * 30_000) is None


@pytest.mark.parametrize(
    ("task", "inputs"),
    [
        ("text-classification", "where is it"),
        ("token-classification", "ab cd ef"),
        ("pair-classification", {"text": "ab", "text_pair": "cd"}),
        ("question-answering", {"question": "ab?", "context": "ab cd ef"}),
        ("sentence-embedding", ["ab", "cd"]),
    ],
)
def test_real_answers_are_the_same_bytes_from_the_cache(
    task: str, inputs: Any, tmp_path: Path
) -> None:
    engine, gate = tiny_engine(task, tmp_path), NoGate()
    with serving(gate, engine, settings=CACHING) as server, client(server, "k") as http:
        bodies = [http.post(f"/models/{task}", json={"inputs": inputs}).content for _ in range(3)]
    assert bodies[0].startswith(b"[") or bodies[0].startswith(b"{")
    assert bodies[0] == bodies[1] == bodies[2]
    assert [work.cached_inputs == work.inputs for work in gate.settled] == [False, True, True]


def test_what_is_half_known_is_withdrawn_like_any_other_and_all_known_does_not_wait() -> None:
    engine, gate = FakeEngine(hold=threading.Event()), NoGate()
    assert engine.hold is not None
    with serving(gate, engine, settings=CACHING) as server, client(server, "k") as http:
        engine.hold.set()
        assert http.post(BANK, json={"inputs": "known"}).status_code == 200
        engine.hold.clear()
        busy = threading.Thread(target=http.post, args=(BANK,), kwargs={"json": {"inputs": "busy"}})
        busy.start()
        until(lambda: len(engine.batches) == 2)
        half = http.post(BANK, json={"inputs": ["known", "new"]}, headers={"X-Timeout-Ms": "20"})
        assert half.status_code == 504
        # The engine is busy, but not needed.
        assert http.post(BANK, json={"inputs": "known"}).status_code == 200
        engine.hold.set()
        busy.join(20)
    assert sum(work.inputs for work in gate.settled) == 3


@pytest.mark.parametrize(
    ("cached", "net", "lines"),
    [
        ("1", 1000, [("usage-1", 5, 1000)]),
        ("0.25", 550, [("usage-1", 2, 400), ("cached", 3, 150)]),
        ("0", 400, [("usage-1", 2, 400), ("cached", 3, 0)]),
    ],
)
def test_a_hit_is_billed_as_the_plan_says(
    database: Database, cached: str, net: int, lines: list[tuple[str, int, int]]
) -> None:
    terms = PlanTerms(name="p", price=Decimal("2"), cached=Decimal(cached))
    clock = SystemClock()
    ada = add_customer(database, "ada", terms, clock, currency="EUR")
    key = create_key(database, ada.id, clock)[1]
    gate = DatabaseGate(database, KeyRing(database))
    with serving(gate, settings=CACHING) as server, client(server, key) as http:
        for inputs in ("one", ["one", "two"], ["one", "two"]):
            assert http.post(BANK, json={"inputs": inputs}).status_code == 200
    events = rows(database, schema.usage_events)
    assert [(event.inputs, event.cached_inputs, event.cached_tokens) for event in events] == [
        (1, 0, 0),
        (2, 1, 3),
        (2, 2, 6),
    ]
    assert events[2].compute_us == 0
    assert reconcile(database, clock).difference == 0
    period = period_of(clock.now())
    later = ManualClock(clock.now() + timedelta(days=62))
    invoice = close(
        database, ada.id, period, later, Issuer("Freehold", Decimal(0), "VAT", "INV", "en")
    )
    assert invoice is not None
    document = invoice.document()
    assert invoice.net_minor == net
    assert [(line["key"], line["quantity"], line["minor"]) for line in document["lines"]] == lines
    assert document["usage"]["new"]["cached_inputs"] == 3
    books = reconcile(database, later)
    assert books.difference == 0
    assert books.served == books.metered == books.invoiced == 5
    with database.write() as connection:
        connection.execute(schema.served.update().values(cached_inputs=0))
    assert reconcile(database, later).difference > 0


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        (PlanTerms(name="p", cached=Decimal("1.5")), "from 0"),
        (PlanTerms(name="p", cached=Decimal("-1")), "from 0"),
        (PlanTerms(name="p", cached=Decimal("0.5"), prepaid=True), "wallet"),
    ],
)
def test_terms_that_cannot_be_meant(terms: PlanTerms, said: str) -> None:
    with pytest.raises(ProjectError, match="cache") as refused:
        check_terms(terms)
    assert said in refused.value.sentence()


def test_terms_that_were_frozen_before_there_was_a_cache_count_hits_like_any_other() -> None:
    text = freeze(PlanTerms(name="p"), "EUR").replace('"cached":"1",', "")
    assert "cached" not in text
    assert thaw(text).terms.cached == 1


def test_tiers_and_included_units_are_for_what_was_computed() -> None:
    tiers = (Tier(2, Decimal("3")), Tier(None, Decimal("1")))
    terms = PlanTerms(name="p", included=1, tiers=tiers, cached=Decimal("0.5"))
    lines = [(line.key, line.quantity, line.amount) for line in rate_usage(terms, 10, 4)]
    assert lines == [("included", 1, 0), ("usage-1", 2, 6), ("usage-2", 3, 3), ("cached", 4, 6)]
