"""When a canary is taken back by itself: an error rate or a latency that noise does not explain.

Each bound is held against the unfavourable end of an interval, 3.5 standard deviations wide (one in
4,000 on one side), since the rule is asked every few seconds for as long as the canary goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from freehold.registry.spread import Spread, wilson

__all__ = ["Figures", "Rule", "size_class", "verdict"]

_Z = 3.5
_FEW_ANSWERS = 20  # from which an error rate is judged
_FEW_BATCHES = 40  # from which a median is


@dataclass(frozen=True, slots=True)
class Rule:
    """`max_error_rate` 1 and `max_latency_factor` 0 are never exceeded."""

    min_answers: int = 200
    max_error_rate: float = 0.02
    max_latency_factor: float = 2.0
    latency_quantile: float = 0.95


@dataclass(slots=True)
class Figures:
    """What one version did in some time: `latencies` of its answers from a request's head on, and
    the times of its `batches`, by `size_class`; `errors` are requests that it failed."""

    answers: int = 0
    errors: int = 0
    latencies: Spread = field(default_factory=Spread)
    batches: dict[int, Spread] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return self.answers + self.errors

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def merge(self, others: Iterable[Figures]) -> Figures:
        """These with the others added."""
        for other in others:
            self.answers += other.answers
            self.errors += other.errors
            self.latencies.merge([other.latencies])
            for size, spread in other.batches.items():
                self.batches.setdefault(size, Spread()).merge([spread])
        return self


def size_class(tokens: int) -> int:
    """Batches of 2**(n-1) to 2**n - 1 tokens, padding included, are of class n."""
    return tokens.bit_length()


def verdict(rule: Rule, canary: Figures, live: Figures) -> str | None:
    """Why the canary has to go, in a phrase with its figures; None while there is no reason.

    Latencies of answers hold waiting in the queue, which a slow version inflicts on the other, too:
    so the time that batches take is compared besides, among batches of about as many tokens.
    """
    return (
        _errors(rule, canary, live)
        or _latency(rule, canary, live)
        or _batches(rule, canary.batches, live.batches)
    )


def _errors(rule: Rule, canary: Figures, live: Figures) -> str | None:
    if canary.requests < _FEW_ANSWERS:
        return None
    low, _ = wilson(canary.error_rate, canary.requests, _Z)
    if low <= max(rule.max_error_rate, live.error_rate) or rule.max_error_rate >= 1:
        return None
    return (
        f"errors {canary.error_rate:.1%} against {live.error_rate:.1%} of live "
        f"over {canary.requests:,} requests"
    )


def _latency(rule: Rule, canary: Figures, live: Figures) -> str | None:
    share = rule.latency_quantile
    if min(len(canary.latencies), len(live.latencies)) < rule.min_answers:
        return None
    if not _slower(rule, canary.latencies, live.latencies, share):
        return None
    return (
        f"p{share * 100:g} {_ms(canary.latencies.quantile(share))} against "
        f"{_ms(live.latencies.quantile(share))} of live over {len(canary.latencies):,} answers"
    )


def _batches(rule: Rule, canary: Mapping[int, Spread], live: Mapping[int, Spread]) -> str | None:
    """The size of which both have had most batches speaks for the rest: one look, not twelve."""
    counts = {size: min(len(canary[size]), len(live[size])) for size in canary.keys() & live.keys()}
    size = max(counts, key=lambda size: (counts[size], size), default=0)
    least = max(_FEW_BATCHES, rule.min_answers // 5)
    if not counts or counts[size] < least or not _slower(rule, canary[size], live[size], 0.5):
        return None
    return (
        f"a batch of {2 ** (size - 1):,} to {2**size - 1:,} tokens takes "
        f"{_ms(canary[size].quantile(0.5))} against {_ms(live[size].quantile(0.5))} of live "
        f"(medians) over {len(canary[size]):,} batches"
    )


def _slower(rule: Rule, canary: Spread, live: Spread, share: float) -> bool:
    if not rule.max_latency_factor:
        return False
    low, _ = canary.bounds(share, _Z)
    _, high = live.bounds(share, _Z)
    return math.isfinite(high) and low > rule.max_latency_factor * high


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
