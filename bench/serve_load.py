"""Load for bench/serve.py: servers as processes, ended with all they started; wrk; quiet cores."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Load",
    "Running",
    "busy_share",
    "free_port",
    "group",
    "memory_mb",
    "need_wrk",
    "post",
    "raw_request",
    "running",
    "write_requests",
    "wrk",
]

SCRIPT = Path(__file__).with_name("serve.lua")
PATIENCE = 180.0  # seconds until a peer is ready


@dataclass(frozen=True)
class Load:
    """What wrk saw in one run; times of whole requests, in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    requests: int


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    pid: int
    url: str
    seconds: float  # from its start until it was ready
    log: Path


def need_wrk() -> str:
    found = shutil.which("wrk")
    if found is None:
        sys.exit("wrk is not installed; on Debian: apt-get install wrk.")
    return found


def wrk(url: str, requests: Path, connections: int, seconds: float) -> Load:
    """One thread of wrk, so many connections that each ask again as soon as they are answered.
    Ends the program if anything but 200 came back."""
    done = subprocess.run(
        [need_wrk(), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s",
         "-s", str(SCRIPT), url, "--", str(requests)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["refused"] or seen["broken"] or not seen["requests"]:
        sys.exit(f"{url} did not answer all with 200: {seen}.")
    return Load(
        seen["requests"] / seen["seconds"], seen["p50_ms"], seen["p99_ms"], seen["requests"]
    )


def raw_request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A request as it goes over the wire, for a connection that is kept."""
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode() + body


def write_requests(path: Path, requests: Sequence[bytes]) -> Path:
    """For serve.lua: each after its length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in requests))
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    words: Sequence[str],
    log: Path,
    *,
    ready: str,
    url: str | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[Running]:
    """A server's process until the block ends; with it ends all that it started.

    It is ready when GET `ready` answers 200. Without `url` its first line is JSON that has it.
    """
    begun = time.perf_counter()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said:
        process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE if url is None else said,
            stderr=said,
            env=environment,
            start_new_session=True,
        )
        try:
            if url is None:
                assert process.stdout is not None
                line = process.stdout.readline()
                if not line:
                    sys.exit(f"{words[0]} did not start: {log.read_text()[-2000:]}")
                url = json.loads(line)["url"]
            _wait(url, ready, process, log, begun + PATIENCE)
            yield Running(process.pid, url, time.perf_counter() - begun, log)
        finally:
            _end(process)


def _wait(url: str, path: str, process: subprocess.Popen[bytes], log: Path, until: float) -> None:
    address = urllib.parse.urlsplit(url).netloc
    while time.perf_counter() < until:
        if process.poll() is not None:
            sys.exit(f"A server ended before it was ready: {log.read_text()[-2000:]}")
        connection = http.client.HTTPConnection(address, timeout=5)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        connection.close()
        time.sleep(0.01)
    sys.exit(f"A server was not ready after {PATIENCE:.0f} s: {log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, a while to drain, then the end of everything in its session."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.perf_counter() + 15
    while group(process.pid) and time.perf_counter() < deadline:
        time.sleep(0.05)


def group(leader: int) -> list[int]:
    """The live processes of a session that we started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == leader and fields[0] != "Z":
                    found.append(int(entry.name))
    return sorted(found)


def busy_share(seconds: float = 0.5) -> float:
    """The share of all processors' time that anything took while we did nothing."""
    before = _ticks()
    time.sleep(seconds)
    after = _ticks()
    total, idle = (b - a for a, b in zip(before, after, strict=True))
    return 1 - idle / max(1, total)


def _ticks() -> tuple[int, int]:
    """(all, idle) of /proc/stat; waiting for a disk is idle."""
    figures = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(figures), figures[3] + figures[4]


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """What a process holds, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"process {pid} has no {field}")


def post(url: str, path: str, body: bytes, headers: dict[str, str]) -> Any:
    """One answer, parsed. Ends the program if it is none."""
    address = urllib.parse.urlsplit(url).netloc
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    if response.status != 200:
        sys.exit(f"{url}{path} answered {response.status}: {answer[:500]!r}")
    return json.loads(answer)
