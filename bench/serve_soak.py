"""Many requests to one server while its memory is watched: a stand-in for days, and a picture."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from serve_load import group, memory_mb, wrk
from serve_setup import Bench
from serve_who import freehold

__all__ = ["soak"]

SLICE = 10.0  # seconds between two looks at the memory
WARM = 0.2  # of the requests: until caches and allocators are full, growth is expected


def soak(bench: Bench, options: argparse.Namespace, count: int) -> dict[str, Any]:
    """Send `count` requests over 32 connections; what the server held, and by how much it grew a
    million requests after the first fifth (least squares). The picture is soak.svg in the
    folder."""
    ours = freehold(bench, options.threads, options.serve)
    samples: list[tuple[int, float]] = []
    begun = time.perf_counter()
    with ours.start() as server:
        sent = 0
        while sent < count:
            samples.append((sent, held(server.pid)))
            sent += wrk(server.url, ours.requests, 32, 1.0 if options.quick else SLICE).requests
            if len(samples) % 30 == 0:
                print(f"  {sent:,} requests, {samples[-1][1]:.1f} MB", flush=True)
        samples.append((sent, held(server.pid)))
    late = [sample for sample in samples if sample[0] >= WARM * sent] or samples[-1:]
    slope = growth(late)
    picture = bench.folder / "soak.svg"
    picture.write_text(plot(samples, slope))
    return {
        "requests": sent,
        "seconds": round(time.perf_counter() - begun, 1),
        "mb_first": round(samples[0][1], 1),
        "mb_after_warming": round(late[0][1], 1),
        "mb_last": round(samples[-1][1], 1),
        "mb_per_million": None if slope is None else round(slope * 1e6, 2),
        "plot": str(picture),
    }


def held(pid: int) -> float:
    """MB of the server and all its processes."""
    return sum(memory_mb(one) for one in group(pid))


def growth(samples: list[tuple[int, float]]) -> float | None:
    """MB a request, by least squares; None of fewer than three samples."""
    if len(samples) < 3:
        return None
    return statistics.linear_regression(*zip(*samples, strict=True)).slope


def plot(samples: list[tuple[int, float]], slope: float | None) -> str:
    """Memory over requests as SVG, the axis from zero."""
    width, height, margin = 720, 300, 50
    most = max(mb for _, mb in samples) * 1.1
    last = max(1, samples[-1][0])

    def place(sent: float, mb: float) -> str:
        x = margin + sent / last * (width - 2 * margin)
        return f"{x:.1f},{height - margin - mb / most * (height - 2 * margin):.1f}"

    line = " ".join(place(*sample) for sample in samples)
    grown = "" if slope is None else f"; {slope * 1e6:+.2f} MB a million requests"
    labels = [
        f'<text x="{margin}" y="24">Resident memory of the server, MB{grown}</text>',
        f'<text x="{margin}" y="{height - 18}">0</text>',
        f'<text x="{width - margin}" y="{height - 18}" text-anchor="end">{last:,} requests</text>',
        *(
            f'<text x="{margin - 6}" y="{place(0, mb).split(",")[1]}" text-anchor="end">'
            f"{mb:.0f}</text>"
            for mb in (0, max(mb for _, mb in samples))
        ),
    ]
    frame = f"M{place(0, most)} L{place(0, 0)} L{place(last, 0)}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{width}" height="{height}" fill="white"/>'
        f'<path d="{frame}" fill="none" stroke="#888"/>'
        f'<polyline points="{line}" fill="none" stroke="#1a5fb4" stroke-width="2"/>'
        f"{''.join(labels)}</svg>\n"
    )
