"""Two processes on one port: one is killed and comes back, nothing is lost or billed twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client import generate_latest
from serving import rows, until

from freehold.bill.customers import add_customer
from freehold.bill.reconcile import reconcile
from freehold.clock import SystemClock
from freehold.errors import UnavailableError
from freehold.project import PlanTerms, Serve
from freehold.serve.cores import usable_cores
from freehold.serve.keys import create_key
from freehold.serve.listening import bound, listen
from freehold.serve.metrics import Metrics, together
from freehold.serve.worker import VARIABLE, Worker, threads_of
from freehold.store import schema
from freehold.store.database import Database

BANK = "/models/bank"
CLIENTS = 6
KILLS = 1


@dataclass
class Supervised:
    """A server of two workers; what they log goes to a file, as it is more than a pipe holds."""

    process: subprocess.Popen[str]
    log: Path

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def supervised(url: str, folder: Path) -> Iterator[Supervised]:
    script, log = Path(__file__).with_name("workers_process.py"), folder / "log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, script, url], stdout=subprocess.PIPE, stderr=stderr, text=True
        ) as process,
    ):
        try:
            yield Supervised(process, log)
        finally:
            process.kill()


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that have not ended."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if fields[0] != "Z" and int(fields[1]) == pid:
            found.append(int(entry.name))
    return sorted(found)


class Client(threading.Thread):
    """Asks one thing after another, each until it is answered, by new connections now and then."""

    def __init__(self, url: str, token: str, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}
        self.stopping = threading.Event()
        self.answers: dict[str, str] = {}  # by key: the request's id, empty for a replay
        self.wrong: list[str] = []
        self.interrupted = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            with httpx.Client(base_url=self.url, headers=self.headers, trust_env=False) as http:
                for _ in range(10):
                    self.ask(http, f"{self.name}-{len(self.answers)}")
                    if self.stopping.is_set():
                        break

    def ask(self, http: httpx.Client, key: str) -> None:
        while True:
            try:
                answer = http.post(
                    BANK, json={"inputs": [key, "help"]}, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                self.interrupted += 1
                continue
            if answer.status_code == 200:
                replayed = "idempotency-replayed" in answer.headers
                self.answers[key] = "" if replayed else answer.headers["x-request-id"]
            else:
                self.wrong.append(answer.text)
            return


def test_one_of_two_is_killed_under_traffic(database_url: str, tmp_path: Path) -> None:
    clock = SystemClock()
    with Database.open(database_url) as database:
        ada = add_customer(database, "ada", PlanTerms(name="p"), clock, currency="EUR")
        token = create_key(database, ada.id, clock)[1]
        with supervised(database_url, tmp_path) as server:
            running, url = server.process, server.line()
            clients = [Client(url, token, f"c{number}") for number in range(CLIENTS)]
            for client in clients:
                client.start()

            def answered() -> int:
                return sum(len(client.answers) for client in clients)

            for _ in range(KILLS):
                mark = answered()
                until(lambda mark=mark: answered() > mark + 50)
                first, second = children(running.pid)
                os.kill(first, signal.SIGKILL)
                mark = answered()
                # The other goes on meanwhile, and soon there are two again.
                until(lambda mark=mark: answered() > mark + 30)
                until(lambda old=first: old not in children(running.pid))
                until(lambda: len(children(running.pid)) == 2)
                assert second in children(running.pid)
                until(lambda: both_answer(url))
            # Both answered, and so does who came in place of the one that was killed.
            until(lambda: len({row.server for row in rows(database, schema.served)}) == 2 + KILLS)
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join(20)
            figures = httpx.get(f"{url}/metrics", trust_env=False).text
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
        assert [client.wrong for client in clients] == [[]] * CLIENTS
        answers = {key: answer for client in clients for key, answer in client.answers.items()}
        events = rows(database, schema.usage_events)
        counted = Counter(event.request_id for event in events)
        # A worker that is killed after its commit leaves an answer that only a replay hands out.
        paid = {row.idempotency_key: row.request_id for row in rows(database, schema.answers)}
        assert counted == Counter(paid[key] for key in answers)
        assert all(said in ("", paid[key]) for key, said in answers.items())
        assert "" not in answers.values() or any(client.interrupted for client in clients)
        assert reconcile(database, clock).difference == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert {line["worker"] for line in lines if "status" in line} == {0, 1}
    again = [line["message"] for line in lines if "started again" in line.get("message", "")]
    assert len(again) == KILLS
    assert "ended with -9" in again[0]
    assert {line.split('"')[1] for line in figures.splitlines() if "queue_tokens{" in line} == {
        "0",
        "1",
    }


def both_answer(url: str) -> bool:
    """Whether the figures of both are told, by whichever of them is asked."""
    try:
        told = httpx.get(f"{url}/metrics", trust_env=False).text
    except httpx.TransportError:
        return False
    return all(f'freehold_queue_tokens{{worker="{index}"}}' in told for index in (0, 1))


def test_a_supervisor_that_is_killed_takes_its_workers_along(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'freehold.db'}"
    Database.open(url).close()
    with supervised(url, tmp_path) as server:
        assert server.line().startswith("http://")
        workers = children(server.process.pid)
        assert len(workers) == 2
        server.process.kill()
        until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers))


def test_workers_that_cannot_start_end_the_server(tmp_path: Path) -> None:
    with supervised("broken", tmp_path) as server:
        assert server.process.wait(20) == 1
        said = server.log.read_text()
        assert re.search(r"Worker [01] ended with 3 before the server was ready\.", said)


def test_a_port_that_is_shared_is_still_taken() -> None:
    with listen("127.0.0.1", 0, shared=True) as one:
        port = one.getsockname()[1]
        listen("127.0.0.1", port, shared=True).close()
        with pytest.raises(UnavailableError, match="taken by another program"):
            listen("127.0.0.1", port)
    taken = pytest.raises(UnavailableError, match="taken by another program")
    with listen("127.0.0.1", 0) as alone, taken:
        bound("127.0.0.1", alone.getsockname()[1], shared=True)


def test_figures_of_several_add_up() -> None:
    many = [Metrics(), Metrics()]
    for number, metrics in enumerate(many):
        metrics.watch_queue(lambda: 5.0)
        for _ in range(number + 1):
            metrics.request("bank", 200, 0.002)
    told = together({str(number): metrics.figures() for number, metrics in enumerate(many)})
    text = told.decode()
    assert 'freehold_requests_total{model="bank",status="200",worker="0"} 1.0' in text
    assert 'freehold_requests_total{model="bank",status="200",worker="1"} 2.0' in text
    assert 'freehold_request_seconds_bucket{le="+Inf",model="bank",worker="1"} 2.0' in text
    assert 'freehold_queue_tokens{worker="0"} 5.0' in text
    # As the exposition format wants it: each family once, its lines together.
    heads = [line for line in text.splitlines() if line.startswith("# TYPE")]
    alone = generate_latest(many[0].registry).decode()
    assert heads == [line for line in alone.splitlines() if line.startswith("# TYPE")]


def test_what_a_worker_is_told_is_taken_from_the_environment_once() -> None:
    worker = Worker(1, 2, 5, "/somewhere", Serve(port=81, workers=2))
    environ = {VARIABLE: worker.said(), "OTHER": "1"}
    assert Worker.of(environ) == worker
    assert environ == {"OTHER": "1"}
    assert Worker.of(environ) is None


def test_workers_share_the_threads() -> None:
    worker = Worker(0, 2, 5, "", Serve())
    assert threads_of(Serve(), None) is None
    assert threads_of(Serve(threads=6), None) == 6
    assert threads_of(Serve(threads=6), worker) == 3
    assert threads_of(Serve(threads=1), worker) == 1
    assert threads_of(Serve(), worker) == max(1, usable_cores() // 2)
