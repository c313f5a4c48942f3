"""From what bench/serve.py measured to its figures, medians over rounds, and the bars they meet."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["BARS", "document", "show"]

Entries = Sequence[dict[str, Any]]
BARS = {
    "vs_litserve": (">=", 5.0),  # requests/s at 32 connections, over its
    "vs_infinity": (">=", 6.0),
    "p50_p99_over_peers": ("<", 1.0),  # the worst of ours over theirs, at 1 and at 32
    "of_engine": (">=", 0.85),  # inputs/s at 32 connections, over the engine's in ideal batches
    "metering_cost": ("<=", 0.05),
    "p99_over_full_batch": (
        "<=",
        3.0,
    ),  # p99 at 32 connections, over the engine's time for 32 texts
    "ready_seconds": ("<", 3.0),
    "resident_mb": ("<", 600.0),
    "soak_mb_per_million": ("<=", 5.0),
}
_HOLDS = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


def document(of: Callable[[str], Entries], peers: dict[str, Any]) -> dict[str, Any]:
    """All figures; None for what was not measured."""
    ours, engine = of("freehold"), of("engine")
    found: dict[str, Any] = {
        "vs_litserve": ratio(ours, of("litserve")),
        "vs_infinity": ratio(ours, of("infinity")),
        "of_engine": of_engine(ours, engine, lambda one: rate(one["hf"]["32"])),
        "metering_cost": metering_cost(of("metered"), of("unmetered")),
        "metering_cost_by_pair": costs(of("metered"), of("unmetered")),
        "p50_p99_over_peers": worst(ours, [of("litserve"), of("infinity")]),
        "p99_over_full_batch": over_batch(ours, engine, "full_batch_ms"),
        "p99_over_filled_batch": over_batch(ours, engine, "filled_batch_ms"),
        "ready_seconds": median([one["seconds"] for one in of("ready")]),
        "ready_seconds_from_disk": median([one["seconds"] for one in of("disk")]),
        "resident_mb": median([one["resident_mb"] for one in of("ready")]),
        "resident_mb_after_load": median([one["resident_mb"] for one in ours]),
        "of_engine_at_64": of_engine(ours, engine, lambda one: rate(one["hf"]["64"])),
        "of_engine_of_eight": of_engine(ours, engine, lambda one: 8 * rate(one["eight"]["8"])),
        "engine": {
            name: median([one[name] for one in engine])
            for name in ("inputs_per_second", "full_batch_ms", "filled_batch_ms")
        },
        "load": {
            "freehold, HF JSON": at(ours, "hf", "1", "32", "64"),
            "freehold, V2 binary": at(ours, "v2", "1", "32"),
            "litserve": at(of("litserve"), None, "1", "32"),
            "infinity": at(of("infinity"), None, "1", "32"),
        },
        "peers": peers,
        "same_label": {name: median([one["same_label"] for one in of(name)])
                       for name in ("litserve", "infinity")},
        "rounds": len(ours),
        "busy_before_most": busiest(of),
    }  # fmt: skip
    soaked = of("soak")
    found["soak"] = soaked[-1] if soaked else None
    found["soak_mb_per_million"] = soaked[-1]["mb_per_million"] if soaked else None
    found["met"] = {
        name: None if found[name] is None else _HOLDS[sign](found[name], bar)
        for name, (sign, bar) in BARS.items()
    }
    return found


def rate(load: dict[str, Any]) -> float:
    return float(load["requests_per_second"])


def median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 3) if values else None


def ratio(ours: Entries, theirs: Entries) -> float | None:
    """Of the medians: requests per second at 32 connections."""
    if not ours or not theirs:
        return None
    own = statistics.median(rate(one["hf"]["32"]) for one in ours)
    return round(own / statistics.median(rate(one["32"]) for one in theirs), 2)


def of_engine(
    ours: Entries, engine: Entries, speed: Callable[[dict[str, Any]], float]
) -> float | None:
    """Median over rounds of our inputs per second over the engine's in the same round."""
    alone = {one["name"]: one["inputs_per_second"] for one in engine}
    return median([speed(one) / alone[one["name"]] for one in ours if one["name"] in alone])


def costs(metered: Entries, unmetered: Entries) -> list[float]:
    """What each pair lost of its requests per second by metering."""
    free = {one["name"]: rate(one["32"]) for one in unmetered}
    return [round(1 - rate(one["32"]) / free[one["name"]], 4) for one in metered
            if one["name"] in free]  # fmt: skip


def metering_cost(metered: Entries, unmetered: Entries) -> float | None:
    return median(costs(metered, unmetered))


def worst(ours: Entries, peers: Sequence[Entries]) -> float | None:
    """The largest of our p50 or p99 over a peer's, of medians, at 1 and 32 connections."""
    if not ours or not all(peers):
        return None
    return round(
        max(
            statistics.median(one["hf"][n][figure] for one in ours)
            / statistics.median(one[n][figure] for one in peer)
            for peer in peers
            for n in ("1", "32")
            for figure in ("p50_ms", "p99_ms")
        ),
        3,
    )


def over_batch(ours: Entries, engine: Entries, name: str) -> float | None:
    alone = {one["name"]: one[name] for one in engine}
    return median(
        [one["hf"]["32"]["p99_ms"] / alone[one["name"]] for one in ours if one["name"] in alone]
    )


def at(entries: Entries, inside: str | None, *connections: str) -> dict[str, Any] | None:
    """By connections: medians of requests per second, p50 and p99."""
    each = [one[inside] if inside else one for one in entries]
    each = [one for one in each if one]
    if not each:
        return None
    return {
        n: {
            name: median([one[n][name] for one in each])
            for name in ("requests_per_second", "p50_ms", "p99_ms")
        }
        for n in connections
    }


def busiest(of: Callable[[str], Entries]) -> float | None:
    """The busiest that the processors were before a run; above 0.1 a figure means little."""
    parts = ("sweep", "engine", "freehold", "metered", "unmetered", "litserve", "infinity",
             "ready", "disk", "soak")  # fmt: skip
    return max((one["busy_before"] for part in parts for one in of(part)), default=None)


def show(found: dict[str, Any]) -> None:
    print(f"{'who':22}{'connections':>12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}")
    for who, load in found["load"].items():
        for connections, figures in (load or {}).items():
            print(f"{who:22}{connections:>12}{figures['requests_per_second']:>12.1f}"
                  f"{figures['p50_ms']:>9.2f}{figures['p99_ms']:>9.2f}")  # fmt: skip
    for name, (sign, bar) in BARS.items():
        met = {True: "met", False: "missed", None: "not measured"}[found["met"][name]]
        print(f"{name:22}{found[name]!s:>12}  {sign} {bar}: {met}")
    if (found["busy_before_most"] or 0) > 0.1:
        print(
            f"Something else took {found['busy_before_most']:.0%} of the processors before a run."
        )
