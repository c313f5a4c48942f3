"""How an allowance stands, as clients are told: RateLimit headers, the sentence of a refusal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from freehold.clock import parse_time
from freehold.errors import FreeholdError, LimitError, PaymentError, TooLargeError
from freehold.meter.allowances import BUCKETS, QUOTA, WALLET, Balance, month_end
from freehold.serve.ports import Take

__all__ = ["Standing", "headers", "refusal"]

_MINUTE = 60
# Units that are held elsewhere are settled or given back within about this time.
_SOON = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Of an allowance, as it was last seen: all there is, what is used for good, what is free."""

    take: Take  # of any number of units
    limit: int
    used: int
    free: int
    wait: float = 0.0  # seconds until the units that were refused will be free in a bucket

    @classmethod
    def of(cls, take: Take, balance: Balance, now: int, units: int = 0) -> Standing:
        """`units` that were asked for and refused, if any."""
        wait = balance.wait(units, now) if balance.is_bucket and units <= balance.limit else 0.0
        return cls(take, balance.limit, balance.used, balance.free(now), wait)

    @property
    def name(self) -> str:
        """What the policy is called; a key's own limits have other names than its customer's."""
        allowance = self.take.allowance
        return f"key_{allowance.kind}" if allowance.line else allowance.kind

    def reset(self, now: datetime) -> int | None:
        """Whole seconds until all of it is free again; None for a wallet."""
        kind = self.take.allowance.kind
        if kind == WALLET:
            return None
        if kind == QUOTA:
            return max(1, math.ceil((month_end(self.take.period) - now).total_seconds()))
        missing = self.limit - min(self.free, self.limit)
        return max(1, math.ceil(self.wait or _MINUTE * missing / self.limit))


def headers(standings: Iterable[Standing], now: datetime) -> tuple[tuple[bytes, bytes], ...]:
    """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-11), in this order:
    clients that read one policy read the first."""
    limits, policies = [], []
    for standing in standings:
        reset = standing.reset(now)
        window = _window(standing)
        unit = standing.take.allowance.unit
        limits.append(
            f'"{standing.name}";r={max(0, standing.free)}'
            + (f";t={reset}" if reset is not None else "")
        )
        policies.append(
            f'"{standing.name}";q={standing.limit}'
            + (f";w={window}" if window else "")
            + (f';qu="{unit}"' if unit != "requests" else "")
        )
    return (
        (b"ratelimit", ", ".join(limits).encode()),
        (b"ratelimit-policy", ", ".join(policies).encode()),
    )


def refusal(standing: Standing, units: int, now: datetime, wait: float) -> FreeholdError:
    """Why `units` were not to be had; `wait` are seconds after which a bucket may have them."""
    allowance = standing.take.allowance
    whose = "This API key's" if allowance.line else "The"
    unit = allowance.unit
    if allowance.kind in BUCKETS:
        if units > standing.limit:
            return TooLargeError(
                f"The request has {units:,} {unit}; {whose.lower()} limit is "
                f"{standing.limit:,} a minute.",
                hint="Send its inputs in several requests.",
            )
        return LimitError(
            f"{whose} limit of {standing.limit:,} {unit} a minute is reached.",
            hint="Try again after the time in Retry-After.",
            retry_after=max(_SOON, wait),
            headers=headers(_first(standing, wait), now),
        )
    if standing.used + units <= standing.limit:
        return LimitError(
            f"Other requests hold what is left of the {_noun(allowance.kind)}.",
            hint="Try again after the time in Retry-After.",
            retry_after=_SOON,
            headers=headers([standing], now),
        )
    left = f"{max(0, standing.limit - standing.used):,} {unit} are left, the request has {units:,}."
    if allowance.kind == WALLET:
        return PaymentError(
            f"The wallet does not hold enough: {left}", hint="It must be topped up."
        )
    return LimitError(
        f"{whose} quota of {standing.limit:,} {unit} a month does not hold enough: {left}",
        hint="It begins anew with the next month (UTC).",
        retry_after=float(standing.reset(now) or 1),
        headers=headers([standing], now),
    )


def _first(standing: Standing, wait: float) -> Sequence[Standing]:
    return [Standing(standing.take, standing.limit, standing.used, 0, max(_SOON, wait))]


def _noun(kind: str) -> str:
    return "wallet" if kind == WALLET else "month's quota"


def _window(standing: Standing) -> int:
    """Seconds in which a policy's quota may be used; 0: no such time."""
    kind = standing.take.allowance.kind
    if kind == WALLET:
        return 0
    if kind == QUOTA:
        period = standing.take.period
        begin = parse_time(f"{period}-01T00:00:00Z")
        return (month_end(period) - begin).days * 24 * 3600
    return _MINUTE
