"""What the engine does by itself, for bench/serve.py: the same texts in ideal batches, no server.

`serve_engine.py BUNDLE TEXTS THREADS SECONDS` prints JSON: the inputs per second of texts that were
encoded beforehand and sorted by length, in batches of the size that is fastest here; the time of a
full batch of 32 texts as they come, and of one that fills `batch_tokens`.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from freehold.project import Serve
from freehold.serve.engine import Engine

SIZES = (8, 16, 32, 64)
CONNECTIONS = 32


def main(bundle: str, file: str, threads: str, seconds: str) -> None:
    engine = Engine.open(Path(bundle), threads=int(threads))
    encoded = list(engine.encode(json.loads(Path(file).read_text())))
    ordered = sorted(encoded, key=lambda text: text.length)
    share = float(seconds) / (len(SIZES) + 1)
    speeds = {}
    for size in SIZES:
        batches = [ordered[at : at + size] for at in range(0, len(ordered), size)]
        # One batch of each length, then whole passes: a part of one would favour short texts.
        for batch in batches[:: max(1, len(batches) // 16)]:
            engine.run(batch)
        speeds[size] = whole_passes(engine, batches, share, len(ordered))
    as_they_come = [encoded[at : at + CONNECTIONS] for at in range(0, len(encoded), CONNECTIONS)]
    full = repeated(engine, as_they_come[:-1] or as_they_come, share / 2)
    budget = Serve().batch_tokens
    longest = max(encoded, key=lambda text: text.length)
    filled = repeated(engine, [[longest] * max(1, budget // longest.length)], share / 2)
    print(
        json.dumps(
            {
                "inputs_per_second": max(speeds.values()),
                "by_batch": {str(size): round(speed, 1) for size, speed in speeds.items()},
                "full_batch_ms": full * 1e3,
                "filled_batch_ms": filled * 1e3,
            }
        )
    )


def whole_passes(engine: Engine, batches: Sequence[Any], seconds: float, texts: int) -> float:
    """Inputs per second over passes through all texts, for at least so long."""
    passes, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds or not passes:
        for batch in batches:
            engine.run(batch)
        passes += 1
    return passes * texts / (time.perf_counter() - begun)


def repeated(engine: Engine, batches: Sequence[Any], seconds: float) -> float:
    """The median time of one batch, in seconds."""
    engine.run(batches[0])
    took, end = [], time.perf_counter() + seconds
    for batch in itertools.cycle(batches):
        begun = time.perf_counter()
        engine.run(batch)
        took.append(time.perf_counter() - begun)
        if time.perf_counter() > end and len(took) >= 3:
            return statistics.median(took)
    raise AssertionError("a cycle does not end")


if __name__ == "__main__":
    main(*sys.argv[1:])
