"""How a Ray cluster is found or begun, for the runners of train and serve; without ray itself."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any

import freehold

__all__ = ["QUIET", "first_line", "folder", "options", "unreachable"]

OBJECT_STORE = 100 << 20  # bytes; what is passed is texts, token ids and scores
KNOCK = 10.0  # seconds until a cluster's address has to answer
# Ray prints of lost workers on stdout, which holds our document; what is wrong is said by us.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
}


@contextmanager
def folder() -> Iterator[str]:
    """Where a local Ray keeps its files; removed at the end. Ray's sockets are below it, and a
    socket's path has at most some 100 bytes."""
    made = tempfile.mkdtemp(prefix="fh-")
    try:
        yield made
    finally:
        rmtree(made, ignore_errors=True)


def options(
    address: str, processors: int, folder: str, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What `ray.init` is given to connect to `address`, or (where that is empty) to begin a local
    Ray that has so many processors and keeps its files in `folder`. Workers find this Freehold, and
    have `environment` in theirs."""
    source = str(Path(freehold.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))
    found: dict[str, Any] = {
        "address": address or "local",
        "log_to_driver": False,
        "logging_level": "ERROR",
        "runtime_env": {"env_vars": {**(environment or {}), "PYTHONPATH": path}},
    }
    if not address:
        found |= {
            "num_cpus": max(processors, os.cpu_count() or 1),
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE,
            "_temp_dir": folder,
        }
    return found


def unreachable(address: str) -> OSError | OverflowError | None:
    """Why nobody answers at a cluster's address; None where somebody does, or it is a word that Ray
    knows. Ray itself would knock for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return None
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK).close()
    except (OSError, OverflowError) as error:
        return error
    return None


def first_line(error: BaseException) -> str:
    """What an error says, without what Ray adds below it."""
    return (getattr(error, "strerror", None) or str(error)).strip().partition("\n")[0]
