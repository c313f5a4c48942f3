"""What a request costs beside the engine: microseconds of CPU, by thread and by part.

32 requests at a time, each a short text, reach the app without a socket: an engine that answers at
once stands in for the model, so that what is counted is ours. Four ways in and out:

    app        ASGI in, ASGI out, a gate that knows the key and keeps nothing
    http       the same behind uvicorn's HTTP protocol (httptools), bytes in and bytes out
    floor      that protocol before an app that answers at once: what of http is not ours
    app+sqlite ASGI, with the gate of `freehold serve` over SQLite: a durable event each

CPU time is that of each thread, so it does not matter who else is busy: but a busy neighbour's heat
and cache do, so run it alone for figures that are kept. Python holds one thread at a time, so the
sum over threads is what a request keeps the interpreter from doing for others (the commit's waiting
for the disk is not in it).

    python bench/hotpath.py                     # all of them; a model of 77 labels, one asked for
    python bench/hotpath.py --profile app       # cProfile of the event loop and the settle thread

The last line is JSON: microseconds a request.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from freehold.app.sell import ProjectGate
from freehold.clock import SystemClock
from freehold.project import PlanTerms, Serve
from freehold.serve.bundle import Meta
from freehold.serve.factory import Service, create_app
from freehold.serve.keys import create_key
from freehold.serve.ports import Caller, Outcome, Recorded, Tally, Work
from freehold.serve.protocol import Limits, ServeProtocol
from freehold.store.database import Database
from freehold.tasks.registry import task_of
from freehold.tasks.tokenise import Encoded, Window

AT_ONCE = 32
TEXT = "where is the card that you sent me"
COLUMNS = ("loop", "engine", "settle", "other", "sum")
TASK = "text-classification"
WAYS = ("app", "http", "floor", "app+sqlite")


class NullEngine:
    """Answers at once: what a text is encoded to and its logits are there already."""

    def __init__(self, labels: int) -> None:
        names = tuple(f"label_{number}" for number in range(labels))
        self.meta = Meta(
            "bank",
            1,
            "text-classification",
            names,
            1.0,
            64,
            (),
            0,
            "none",
            "fp32",
            {},
            {},
            {},
            None,
        )
        self._task = task_of(self.meta.task)
        window = Window(np.arange(16, dtype=np.int32))
        self._encoded = Encoded((window,), 16, False, TEXT)
        self._row = np.random.default_rng(0).normal(size=labels).astype(np.float32)

    def encode(self, inputs: Sequence[Any]) -> list[Encoded]:
        return [self._encoded] * len(inputs)

    def run(self, batch: Sequence[Encoded]) -> list[Any]:
        return [self._row] * len(batch)

    def answer(self, encoded: Encoded, logits: Any) -> Any:
        return self._task.answer(encoded, logits, self.meta.labels, {"temperature": 1.0})


class NullGate:
    """Knows everybody, keeps nothing."""

    def remembered(self, token: str) -> Caller:
        return Caller("cus_1", "key_1")

    def authenticate(self, token: str) -> Caller:
        return Caller("cus_1", "key_1")

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        return None

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        return [Outcome(work.request_id, Recorded.METERED, work.body) for work in works]

    def ping(self) -> None:
        return None


@contextmanager
def sqlite_gate() -> Iterator[tuple[ProjectGate, str]]:
    from freehold.bill.customers import add_customer

    clock = SystemClock()
    with (
        tempfile.TemporaryDirectory() as folder,
        Database.open_file(Path(folder) / "freehold.db") as database,
    ):
        who = add_customer(database, "ada", PlanTerms(name="p"), clock, currency="EUR")
        yield ProjectGate(database, clock, "srv"), create_key(database, who.id, clock)[1]


@contextmanager
def null_gate() -> Iterator[tuple[NullGate, str]]:
    yield NullGate(), "fh_" + "x" * 43


def headers_of(token: str, body: bytes) -> list[tuple[bytes, bytes]]:
    """What huggingface_hub's client sends."""
    return [
        (b"host", b"127.0.0.1:8080"),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"gzip, deflate"),
        (b"connection", b"keep-alive"),
        (b"user-agent", b"unknown/None; hf_hub/1.2.0; python/3.11.7"),
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
    ]


async def by_asgi(app: Any, token: str, body: bytes, requests: int) -> None:
    head = headers_of(token, body)

    async def send(message: Any) -> None:
        assert message.get("status", 200) == 200, message

    async def client(count: int) -> None:
        for _ in range(count):
            sent = iter([{"type": "http.request", "body": body, "more_body": False}])

            async def receive(sent: Any = sent) -> Any:
                return next(sent)

            scope = {
                "type": "http",
                "method": "POST",
                "path": "/models/bank",
                "headers": head,
                "freehold.connection": Here(),
            }
            await app(scope, receive, send)

    await asyncio.gather(*(client(requests // AT_ONCE) for _ in range(AT_ONCE)))


class Here:
    """A client who stays."""

    gone = False

    def on_gone(self, call: Callable[[], object]) -> None:
        return None

    def linger(self) -> None:
        return None


class Wire(asyncio.Transport):
    """In place of a socket: the next request comes as soon as an answer has left."""

    def __init__(self, answered: Callable[[], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 9), "sockname": ("127.0.0.1", 8080)})
        self._answered = answered
        self.closing = False

    def write(self, data: Any) -> None:
        if data.startswith(b"HTTP/"):
            assert data.startswith(b"HTTP/1.1 200 "), data
        if data.endswith(b"]]"):
            self._answered()

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


async def at_once(scope: Any, receive: Any, send: Any) -> None:
    """An app that reads a request and answers all the same to each."""
    body = b'[[{"label":"a","score":0.9}]]'
    json.loads((await receive())["body"])
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def by_http(app: Any, token: str, body: bytes, requests: int) -> None:
    import uvicorn
    from uvicorn.server import ServerState

    config = uvicorn.Config(app, log_config=None, access_log=False, proxy_headers=False, ws="none")
    config.load()
    head = b"".join(b"%s: %s\r\n" % header for header in headers_of(token, body))
    sent = b"POST /models/bank HTTP/1.1\r\n" + head + b"\r\n" + body
    loop, state, done = asyncio.get_running_loop(), ServerState(), asyncio.Event()
    left = requests

    for _ in range(AT_ONCE):
        protocol = ServeProtocol(
            config=config, server_state=state, app_state={}, limits=Limits(1000, 30)
        )

        def ask(protocol: ServeProtocol = protocol) -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                loop.call_soon(protocol.data_received, sent)
            elif left == -AT_ONCE:
                done.set()

        protocol.connection_made(Wire(ask))
        ask()
    await done.wait()


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU a request, by thread."""

    loop: float
    engine: float
    settle: float
    other: float

    @property
    def sum(self) -> float:
        return self.loop + self.engine + self.settle + self.other


class Null:
    def write(self, text: str) -> None:
        return None

    def flush(self) -> None:
        return None


async def measured(
    way: str, gate: Any, token: str, labels: int, requests: int, body: bytes
) -> Cost:
    models: dict[str, Any] = {"bank": NullEngine(labels)}
    log: Any = Null()
    service = Service(models, gate, Serve(), log=log)
    app = at_once if way == "floor" else create_app(service)
    await service.start()
    ask = by_http if way in ("http", "floor") else by_asgi
    await ask(app, token, body, 2000)  # warm
    clocks = {
        thread.name: time.pthread_getcpuclockid(thread.ident)
        for thread in threading.enumerate()
        if thread.ident is not None
    }
    before = {name: time.clock_gettime(clock) for name, clock in clocks.items()}
    whole = time.process_time()
    await ask(app, token, body, requests)
    whole = time.process_time() - whole
    spent = {name: time.clock_gettime(clock) - before[name] for name, clock in clocks.items()}
    await service.stop()
    loop = spent["MainThread"]
    engine, settle = spent["freehold-engine"], spent["freehold-settle"]
    scale = 1e6 / requests
    other = max(0.0, whole - loop - engine - settle)
    return Cost(loop * scale, engine * scale, settle * scale, other * scale)


def run(way: str, labels: int, requests: int, body: bytes) -> Cost:
    import uvloop

    gate = sqlite_gate if way.endswith("sqlite") else null_gate
    sys.setswitchinterval(0.001)
    with gate() as (one, token), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured(way, one, token, labels, requests, body))


def profile(way: str, labels: int, requests: int, body: bytes) -> None:
    """Where the event loop's and the settle thread's time goes."""
    from freehold.serve.batcher import Batcher

    settling = cProfile.Profile()
    plain = Batcher._run_settle

    def run_settle(self: Batcher) -> None:
        settling.enable()
        plain(self)
        settling.disable()

    Batcher._run_settle = run_settle  # type: ignore[method-assign]
    looping = cProfile.Profile()
    looping.enable()
    run(way, labels, requests, body)
    looping.disable()
    for name, found in (("event loop", looping), ("settle thread", settling)):
        print(f"--- {name}")
        pstats.Stats(found).sort_stats("tottime").print_stats(32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--labels", type=int, default=77)
    parser.add_argument("--top", type=int, default=1, help="top_k of the request; 0: all labels.")
    parser.add_argument("--profile", choices=WAYS)
    given = parser.parse_args()
    asked: dict[str, Any] = {"inputs": TEXT}
    if given.top:
        asked["parameters"] = {"top_k": given.top}
    body = json.dumps(asked).encode()
    if given.profile:
        profile(given.profile, given.labels, given.requests, body)
        return
    found: dict[str, Any] = {}
    print(f"{'':12}" + "".join(f"{name:>8}" for name in COLUMNS))
    for way in WAYS:
        costs = [run(way, given.labels, given.requests, body) for _ in range(given.rounds)]
        cost = sorted(costs, key=lambda cost: cost.sum)[len(costs) // 2]
        figures = {name: round(getattr(cost, name), 1) for name in COLUMNS}
        print(f"{way:12}" + "".join(f"{value:8.1f}" for value in figures.values()))
        found[way] = figures
    print(json.dumps({"labels": given.labels, "top_k": given.top or None, "us": found}))


if __name__ == "__main__":
    main()
