"""How many processor cores this process may really use."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["usable_cores"]

_CPUINFO = Path("/proc/cpuinfo")
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(cpuinfo: Path = _CPUINFO, quota: Path = _QUOTA) -> int:
    """Physical cores among those this process may run on, at most a container's quota; at least 1.

    Two threads of one core share its arithmetic units, so a second one on it adds nothing to matrix
    products. Where the machine does not say, every processor counts as a core.
    """
    allowed = (
        os.sched_getaffinity(0)
        if hasattr(os, "sched_getaffinity")
        else set(range(os.cpu_count() or 1))
    )
    cores = {_core_of(block) for number, block in _processors(cpuinfo) if number in allowed}
    count = len(cores) if cores and None not in cores else len(allowed)
    limit = _limit(quota)
    return max(1, count if limit is None else min(count, limit))


def _processors(cpuinfo: Path) -> list[tuple[int, str]]:
    """(processor number, its block) for each block of /proc/cpuinfo; empty where there is none."""
    try:
        blocks = cpuinfo.read_text(encoding="utf-8", errors="replace").split("\n\n")
    except OSError:
        return []
    found = [(re.search(r"^processor\s*:\s*(\d+)", block), block) for block in blocks]
    return [(int(match[1]), block) for match, block in found if match]


def _core_of(block: str) -> tuple[str, str] | None:
    socket = re.search(r"^physical id\s*:\s*(\d+)", block, re.MULTILINE)
    core = re.search(r"^core id\s*:\s*(\d+)", block, re.MULTILINE)
    return (socket[1], core[1]) if socket and core else None


def _limit(quota: Path) -> int | None:
    """Whole cores of the container's time, rounded up: cgroup v2's "quota period", "max period"."""
    try:
        granted, period = quota.read_text(encoding="ascii").split()[:2]
    except (OSError, ValueError):
        return None
    return None if granted == "max" else max(1, -(-int(granted) // int(period)))
