"""What a rung scored and costs, which rungs are on the frontier, and which one pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from freehold.evaluate.intervals import LEVEL, RESAMPLES, Interval
from freehold.evaluate.ladder.paired import Paired

__all__ = ["Ladder", "Rung", "RungFigures", "stand"]


@dataclass(frozen=True, slots=True)
class RungFigures:
    """What was measured of one rung."""

    rung: str
    version: str  # bank@3
    train_seconds: float
    train_cost: Decimal
    inputs_per_second: float  # of the bundle, in batches, tokenising included
    p50_ms: float  # of a single short text
    serve_cost: Decimal  # of 1,000 inputs at that pace
    size_mb: float  # of the bundle
    engine: str
    precision: str


@dataclass(frozen=True, slots=True)
class Rung:
    """A rung among the others. On the `frontier` no other serves as cheaply and scores as high;
    `within` says that the interval of its distance from the best includes 0."""

    figures: RungFigures
    score: float
    interval: Interval
    behind: float
    behind_interval: Interval
    frontier: bool
    within: bool

    def document(self) -> dict[str, Any]:
        figures = self.figures
        return {
            "rung": figures.rung,
            "version": figures.version,
            "score": self.score,
            "interval": list(self.interval),
            "behind_best": self.behind,
            "behind_best_interval": list(self.behind_interval),
            "within_best": self.within,
            "frontier": self.frontier,
            "training": {
                "seconds": figures.train_seconds,
                "cost": f"{figures.train_cost:f}",
            },
            "serving": {
                "cost_per_1000": f"{figures.serve_cost:f}",
                "inputs_per_second": figures.inputs_per_second,
                "p50_ms": figures.p50_ms,
                "size_mb": figures.size_mb,
                "engine": figures.engine,
                "precision": figures.precision,
            },
        }


@dataclass(frozen=True, slots=True)
class Ladder:
    """All rungs that were climbed, in their order; `failed` has a sentence for each that was not,
    `skipped` the names of those that a stop left out."""

    data: str
    dev: str
    n: int
    metric: str
    currency: str
    machine_per_hour: Decimal
    rungs: tuple[Rung, ...]
    failed: Mapping[str, str]
    skipped: tuple[str, ...] = ()

    @property
    def best(self) -> Rung:
        return max(self.rungs, key=lambda rung: rung.score)

    @property
    def recommended(self) -> Rung:
        """The cheapest to serve of those that are within the best; of equals the better one."""
        fit = [rung for rung in self.rungs if rung.within]
        return min(fit, key=lambda rung: (rung.figures.serve_cost, -rung.score))

    def document(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "dev": self.dev,
            "n": self.n,
            "metric": self.metric,
            "currency": self.currency,
            "machine_per_hour": f"{self.machine_per_hour:f}",
            "bootstrap": {"level": LEVEL, "resamples": RESAMPLES, "paired": True},
            "rungs": [rung.document() for rung in self.rungs],
            "best": self.best.figures.rung if self.rungs else None,
            "recommended": self.recommended.figures.rung if self.rungs else None,
            "failed": dict(self.failed),
            "skipped": list(self.skipped),
        }


def stand(figures: Sequence[RungFigures], compared: Sequence[Paired]) -> tuple[Rung, ...]:
    """Each rung beside the others."""
    return tuple(
        Rung(
            own,
            pair.score,
            pair.interval,
            pair.behind,
            pair.behind_interval,
            frontier=not any(
                _beats(other, own, score=there.score, against=pair.score)
                for other, there in zip(figures, compared, strict=True)
            ),
            within=pair.behind_interval[0] <= 0,
        )
        for own, pair in zip(figures, compared, strict=True)
    )


def _beats(one: RungFigures, other: RungFigures, *, score: float, against: float) -> bool:
    """No worse in both, and better in one."""
    no_worse = one.serve_cost <= other.serve_cost and score >= against
    return no_worse and (one.serve_cost < other.serve_cost or score > against)
