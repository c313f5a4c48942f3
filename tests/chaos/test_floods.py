"""Floods of clients that mean no good, at a server of its own process: others are answered all the
while, and its memory and its files stay within bounds."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults import reconciled
from hostile import HEAD, bomb, dial, stopped_short
from killing import Load, customers, nursery, violations

from freehold.store.database import Database

AT_ONCE = 40
MOST_GROWTH_MB = 150  # 40 bodies of at most 1 MiB, and as much again that the allocator keeps


def memory_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):  # the most it ever held
            return int(line.split()[1]) / 1024
    raise AssertionError("there is no such figure")


@contextmanager
def flooded(url: str, token: str, kinds: list[bytes]) -> Iterator[None]:
    """While the block runs, `AT_ONCE` clients send each of these again and again."""
    stopping = threading.Event()

    def flood(number: int) -> None:
        at = number
        while not stopping.is_set():
            at += 1
            sent = kinds[at % len(kinds)].replace(b"Bearer k", b"Bearer " + token.encode())
            with contextlib.suppress(OSError), dial(url) as raw:
                raw.settimeout(0.5)
                raw.sendall(sent)
                raw.recv(4096)

    threads = [threading.Thread(target=flood, args=(n,), daemon=True) for n in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)


def test_a_flood_of_every_kind(database: Database, database_url: str, tmp_path: Path,
                               chance: random.Random) -> None:  # fmt: skip
    packed = bomb(1000)  # a gigabyte
    ten = b'{"inputs": "' + b"a" * 10_000_000 + b'"}'
    kinds = [
        HEAD + b"Content-Length: %d\r\n\r\n" % len(ten) + ten,
        HEAD
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"100000\r\n"
        + b"a" * 0x100000
        + b"\r\n" * 9,
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed,
        HEAD + b"Content-Length: 1000000\r\n\r\n" + b'{"inputs": "half',
        HEAD + b"Content-Length: 20\r\n\r\n" + b'{"inputs": "\xff\xfe\xed"}',
        HEAD + b"X: " + b"a" * 1_000_000,
        b"\x16\x03\x01" + chance.randbytes(10_000),
        b"",
    ]
    load = Load(customers(database), chance)
    with nursery(database_url) as house:
        pid, url = house.start()
        load.through([url], contextlib.nullcontext(), 0.2)
        before = memory_mb(pid)
        for kind in kinds:  # each by itself, then all of them
            load.through([url], flooded(url, load.tokens[False], [kind]), 1.0)
        load.through([url], flooded(url, load.tokens[False], kinds), 10.0)
        grown = memory_mb(pid) - before
        print(f"most memory: {before:.0f} MB before, {grown:.0f} MB more in the flood")
        assert grown < MOST_GROWTH_MB
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        assert files < 100 + AT_ONCE
    assert violations(database, load.diary) == []
    reconciled(database_url, tmp_path / "project")


def test_as_many_slow_clients_as_the_server_takes(sqlite: Database, tmp_path: Path,
                                                  chance: random.Random) -> None:  # fmt: skip
    """With all connections taken by clients that say nothing, others are told to come again, and
    are answered once those are cut off."""
    url_of = f"sqlite:///{tmp_path / 'freehold.db'}"
    token = customers(sqlite)[False]
    with nursery(url_of) as house:
        _, url = house.start()
        slow: list[socket.socket] = []
        for number in range(1200):
            with contextlib.suppress(OSError):
                one = dial(url)
                one.sendall((HEAD + b"X: ")[: number % 90])
                slow.append(one)
        statuses = []
        while not statuses or statuses[-1] != 200:
            assert len(statuses) < 1000, statuses[-5:]
            statuses.append(asked(url, token))
            if statuses[-1] != 200:
                threading.Event().wait(0.2)
        print(f"{len(slow)} slow clients: refused {len(statuses) - 1} times, then answered")
        assert set(statuses) <= {200, 503, 0}
        for one in slow:
            one.close()
    reconciled(url_of, tmp_path / "project")


def asked(url: str, token: str) -> int:
    """The status of an ordinary request; 0 where the connection was not taken."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
    try:
        body = json.dumps({"inputs": "a"})
        connection.request("POST", "/models/bank", body, {"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def test_who_stops_in_the_middle_is_cut_off(sqlite: Database, tmp_path: Path) -> None:
    with nursery(f"sqlite:///{tmp_path / 'freehold.db'}") as house:
        _, url = house.start()
        assert stopped_short(url, 90) == 7
