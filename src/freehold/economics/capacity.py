"""How many machines a traffic needs and what they cost, from the speed that an export measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from freehold.economics.cost import exact
from freehold.economics.figures import plain
from freehold.money import EXACT

__all__ = ["BUSY", "HOURS", "PEAK", "SHARE", "Capacity", "Traffic", "capacity"]

HOURS = Decimal("730.5")  # of a month: 365.25 days in twelve
SHARE = 0.85  # of the engine's own speed that the server keeps: the least that bench/serve.py asks
BUSY = 0.6  # of what a machine can do, used in the busiest hour: beyond it waiting grows steeply
PEAK = 4.0  # the busiest hour over the mean one


@dataclass(frozen=True, slots=True)
class Traffic:
    """What is asked: requests a day, inputs in each, and the busiest hour over the mean one."""

    requests_per_day: int
    inputs_per_request: float = 1.0
    peak: float = PEAK

    @property
    def inputs_per_second(self) -> float:
        """In the busiest hour."""
        return self.requests_per_day * self.inputs_per_request * self.peak / 86_400


@dataclass(frozen=True, slots=True)
class Capacity:
    """The answer, with what it was worked out from. Inputs a second are of one machine: `measured`
    by the export on its own, `served` through the server, `planned` with room for the busiest hour.
    `per_month` and the costs of 1,000 inputs are in major units: of the machines that are needed,
    and of one that is used as far as planned all the time."""

    version: str
    engine: str
    traffic: Traffic
    share: float
    busy: float
    measured: float
    currency: str
    machines: int
    per_month: Decimal
    per_1000: Decimal
    per_1000_at_best: Decimal

    @property
    def served(self) -> float:
        return self.measured * self.share

    @property
    def planned(self) -> float:
        return self.served * self.busy

    def document(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "engine": self.engine,
            "requests_per_day": self.traffic.requests_per_day,
            "inputs_per_request": self.traffic.inputs_per_request,
            "peak": self.traffic.peak,
            "busiest_inputs_per_second": self.traffic.inputs_per_second,
            "share": self.share,
            "busy": self.busy,
            "measured_inputs_per_second": self.measured,
            "served_inputs_per_second": self.served,
            "planned_inputs_per_second": self.planned,
            "machines": self.machines,
            "currency": self.currency,
            "per_month": plain(self.per_month, self.currency),
            "per_1000_inputs": plain(self.per_1000, self.currency),
            "per_1000_inputs_at_best": plain(self.per_1000_at_best, self.currency),
        }


def capacity(
    traffic: Traffic,
    *,
    version: str,
    engine: str,
    measured: float,
    machine_per_hour: Decimal,
    currency: str,
    share: float = SHARE,
    busy: float = BUSY,
) -> Capacity:
    """Machines that answer the traffic in its busiest hour, each `busy` at most, at `share` of the
    `measured` inputs a second; at least one."""
    planned = measured * share * busy
    machines = max(1, math.ceil(traffic.inputs_per_second / planned))
    with localcontext(EXACT):
        per_month = machines * machine_per_hour * HOURS
        asked = Decimal(traffic.requests_per_day) * Decimal(str(traffic.inputs_per_request))
        per_1000 = per_month * 1000 / (asked * HOURS / 24)
        at_best = machine_per_hour * 1000 / (Decimal(str(planned)) * 3600)
    return Capacity(
        version, engine, traffic, share, busy, measured, currency, machines,
        exact(per_month), exact(per_1000), exact(at_best),
    )  # fmt: skip
