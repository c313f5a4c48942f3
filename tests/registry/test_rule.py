"""When a canary is taken back: for what is really worse, not for noise, however often asked."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.registry.rule import Figures, Rule, size_class, verdict
from freehold.registry.spread import Spread, wilson

RULE = Rule(min_answers=200, max_error_rate=0.02, max_latency_factor=2.0, latency_quantile=0.95)


def drawn(rng: random.Random, count: int, middle: float, errors: float = 0.0) -> Figures:
    """Latencies with a heavy tail, as a busy machine has them."""
    figures = Figures()
    for _ in range(count):
        if rng.random() < errors:
            figures.errors += 1
            continue
        figures.answers += 1
        figures.latencies.add(rng.lognormvariate(math.log(middle), 0.8))
        figures.batches.setdefault(rng.randint(4, 6), Spread()).add(
            rng.lognormvariate(math.log(middle / 3), 0.4)
        )
    return figures


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_equal_versions_are_left_alone_for_a_thousand_looks(share: float) -> None:
    rng = random.Random(share)
    canary, live = Figures(), Figures()
    for look in range(1000):
        count = 40
        canary.merge([drawn(rng, round(count * share), 0.02, errors=0.01)])
        live.merge([drawn(rng, round(count * (1 - share)), 0.02, errors=0.01)])
        assert verdict(RULE, canary, live) is None, look
        if canary.requests > 400:  # the window moves on
            canary, live = Figures(), Figures()


def test_the_interval_alone_keeps_noise_out() -> None:
    """Even where any slowness at all would count, chance rarely looks like it."""
    rng = random.Random(7)
    strict = Rule(min_answers=200, max_error_rate=1.0, max_latency_factor=1.0)
    fired = 0
    for _ in range(100):
        fired += verdict(strict, drawn(rng, 250, 0.02), drawn(rng, 900, 0.02)) is not None
    assert fired == 0


def test_a_slow_version_is_found_by_its_latency() -> None:
    rng = random.Random(1)
    live, slow = drawn(rng, 2000, 0.02), drawn(rng, 500, 0.08)
    slow.batches.clear()
    found = verdict(RULE, slow, live)
    assert found is not None
    assert found.startswith("p95 ")
    assert found.endswith(" of live over 500 answers")
    assert verdict(RULE, drawn(rng, 500, 0.025), live) is None  # slower, but not by the factor
    assert verdict(Rule(max_latency_factor=0.0), slow, live) is None
    assert verdict(RULE, live, slow) is None


def test_too_few_answers_say_nothing() -> None:
    rng = random.Random(2)
    slow = drawn(rng, 30, 5.0)
    assert verdict(RULE, slow, drawn(rng, 2000, 0.01)) is None
    assert verdict(RULE, drawn(rng, 500, 5.0), drawn(rng, 30, 0.01)) is None


def test_a_version_that_makes_all_wait_is_found_by_its_batches() -> None:
    """In one queue both versions' answers wait for the slow batches."""
    canary, live = Figures(), Figures()
    for _ in range(300):
        for figures, seconds in ((canary, 0.05), (live, 0.005)):
            figures.answers += 1
            figures.latencies.add(0.1)
            figures.batches.setdefault(size_class(40), Spread()).add(seconds)
    assert verdict(RULE, canary, live) == (
        "a batch of 32 to 63 tokens takes 49.8 ms against 5.03 ms of live (medians) "
        "over 300 batches"
    )
    # Of other sizes they cannot be compared.
    canary.batches = {size_class(4000): canary.batches[size_class(40)]}
    assert verdict(RULE, canary, live) is None


@pytest.mark.parametrize(
    ("failed", "of", "goes"),
    [(20, 20, True), (19, 19, False), (10, 60, True), (1, 20, False), (3, 100, False)],
)
def test_errors(failed: int, of: int, goes: bool) -> None:
    found = verdict(RULE, Figures(of - failed, failed), Figures(1000, 0))
    assert (found is not None) is goes
    if found:
        assert found == f"errors {failed / of:.1%} against 0.0% of live over {of} requests"
        # Where the live version fails as often, it is not the canary's doing.
        assert verdict(RULE, Figures(of - failed, failed), Figures(of - failed, failed)) is None
    assert verdict(Rule(max_error_rate=1.0), Figures(of - failed, failed), Figures()) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-5, 100), min_size=1, max_size=300), st.floats(0.01, 0.99))
def test_a_spread_knows_quantiles_to_five_percent(seconds: list[float], share: float) -> None:
    spread = Spread()
    for value in seconds:
        spread.add(value)
    assert Spread.of(spread.document()).counts == spread.counts
    exact = sorted(seconds)[max(1, math.ceil(share * len(seconds))) - 1]
    assert exact / 1.06 <= spread.quantile(share) <= exact * 1.06
    low, high = spread.bounds(share, 3.5)
    assert low <= exact * 1.0001
    assert high >= exact / 1.0001
    both = Spread().merge([spread, spread])
    assert len(both) == 2 * len(seconds)


def test_wilson_agrees_with_the_table_of_newcombe() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20.
    for successes, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
    ):
        assert wilson(successes / count, count, 1.959964) == pytest.approx((low, high), abs=5e-5)
    assert wilson(0.0, 0, 2.0) == (0.0, 1.0)
