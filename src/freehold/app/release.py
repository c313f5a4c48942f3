"""Putting a version before customers step by step: shadow, canary, live, and back; how it goes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from freehold.app import App
from freehold.errors import InputError
from freehold.registry import Rule, Terms, Trial
from freehold.registry.counts import ShadowDay, shadow_days, total
from freehold.registry.rule import Figures
from freehold.registry.spread import wilson
from freehold.registry.stages import Change
from freehold.registry.trials import WHOLE

__all__ = ["Progress", "begin_canary", "begin_shadow", "parse_share", "progress", "rule_of"]

_Z = 1.96  # of the intervals that are shown: 95 %


def parse_share(text: str) -> int:
    """`10%` or `0.1` in hundredths of a percent, above 0 and below all. Raises InputError."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*(%?)\s*", text)
    try:
        number = Decimal(match[1]) if match else None
    except InvalidOperation:
        number = None
    share = None if match is None or number is None else number * (100 if match[2] else WHOLE)
    if share is None or not 0 < share < WHOLE or share != int(share):
        raise InputError(
            f"{text!r} is not a share of the traffic.",
            hint="Write 10% or 0.1, below 100%; two decimals of a percent at most.",
        )
    return int(share)


def rule_of(
    app: App,
    *,
    min_answers: int | None = None,
    max_error_rate: float | None = None,
    max_latency_factor: float | None = None,
) -> Rule:
    """When a canary is taken back by itself: as [release] says, but for what is given."""
    own = app.project.release
    return Rule(
        min_answers=own.min_answers if min_answers is None else min_answers,
        max_error_rate=own.max_error_rate if max_error_rate is None else max_error_rate,
        max_latency_factor=(
            own.max_latency_factor if max_latency_factor is None else max_latency_factor
        ),
        latency_quantile=own.latency_quantile,
    )


def begin_canary(
    app: App,
    reference: str,
    *,
    share: str | None,
    customers: Sequence[str],
    by: str | None,
    rule: Rule,
    why: str | None = None,
) -> Trial:
    """Give a version some of the traffic: a share, named customers (names or ids), or both.

    Raises InputError, NotFoundError, and ConflictError where there is nothing to take it from.
    """
    from freehold.bill.customers import find

    terms = Terms(
        share=0 if share is None else parse_share(share),
        customers=tuple(sorted({find(app.database, name).id for name in customers})),
        sticky=by or app.project.release.canary_by,
        rule=rule,
    )
    return app.registry.canary(reference, terms, why)


def begin_shadow(app: App, reference: str, why: str | None = None) -> Trial:
    """Let a version answer beside the live one, unseen."""
    share = round(app.project.release.shadow_share * WHOLE)
    return app.registry.shadow(reference, Terms(share=share), why)


@dataclass(frozen=True, slots=True)
class Progress:
    """How a trial goes: what canary and live did since it began, or how a shadow agrees."""

    trial: Trial
    canary: Figures | None = None
    live: Figures | None = None
    days: tuple[ShadowDay, ...] = ()

    def agreement(self) -> tuple[int, float, float, float] | None:
        """Inputs compared, the share that agreed, and its 95 % interval, counted by inputs."""
        compared = sum(day.compared for day in self.days)
        if not compared:
            return None
        share = min(1.0, max(0.0, sum(day.agreed for day in self.days) / compared))
        return compared, share, *wilson(share, compared, _Z)

    def document(self) -> dict[str, Any]:
        found = self.trial.document()
        if self.trial.kind == "canary":
            share = self.trial.terms.rule.latency_quantile
            for name, figures in (("canary", self.canary), ("live", self.live)):
                found[name] = _figures(figures or Figures(), share)
        if self.trial.kind == "shadow":
            found["shadow"] = self._shadow()
        return found

    def _shadow(self) -> dict[str, Any]:
        agreed = self.agreement()
        return {
            "runs": sum(day.runs for day in self.days),
            "failed": sum(day.failed for day in self.days),
            "inputs": sum(day.inputs for day in self.days),
            "compared": agreed[0] if agreed else 0,
            "agreement": agreed[1] if agreed else None,
            "interval": list(agreed[2:]) if agreed else None,
            "ms_per_input": self.per_input("compute_us"),
            "live_ms_per_input": self.per_input("live_compute_us"),
            "compute_us": sum(day.compute_us for day in self.days),
            "days": [
                {"day": day.day, "inputs": day.inputs, "compute_us": day.compute_us}
                for day in self.days
            ],
        }

    def per_input(self, name: str) -> float | None:
        """Milliseconds of the engine for one input."""
        inputs = sum(day.inputs for day in self.days)
        return sum(getattr(day, name) for day in self.days) / inputs / 1e3 if inputs else None


def progress(app: App, model: str | None) -> tuple[list[Progress], list[Change]]:
    """How the trials (of a model) go that are under way, and the last decisions."""
    found = []
    trials = app.registry.stages.trials(model)
    with app.database.read() as connection:
        for trial in trials:
            if trial.kind == "canary":
                did = total(connection, trial.id)
                canary, live = did.get(trial.version), did.get(trial.against or 0)
                found.append(Progress(trial, canary or Figures(), live or Figures()))
            else:
                days = shadow_days(connection, release_id=trial.id)
                found.append(Progress(trial, days=tuple(days)))
    return found, app.registry.stages.changes(model)


def _figures(figures: Figures, share: float) -> dict[str, Any]:
    low, high = wilson(figures.error_rate, figures.requests, _Z)
    return {
        "answers": figures.answers,
        "errors": figures.errors,
        "error_rate": figures.error_rate,
        "error_interval": [low, high],
        "p50_ms": figures.latencies.quantile(0.5) * 1e3,
        "slow_ms": figures.latencies.quantile(share) * 1e3,
        "slow_quantile": share,
    }
