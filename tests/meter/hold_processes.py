"""Callers in a process of their own: `hold_processes.py DATABASE_URL SERVER CALLERS [die]`.

Each caller asks once for a unit of ada's wallet and settles what it got; the last line says how
many were answered and how many refused. With "die" the process kills itself in the middle: of those
who hold a unit every other has settled.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import Future

from allowing import WALLET, settle, work

from freehold.clock import SystemClock
from freehold.errors import LimitError, PaymentError
from freehold.meter.dealer import Dealer
from freehold.store.database import Database


def main(url: str, server: str, callers: str, fate: str = "") -> None:
    clock, counts = SystemClock(), {"answered": 0, "refused": 0}
    lock, ready = threading.Lock(), threading.Barrier(int(callers))
    with Database.open(url) as database:
        dealer = Dealer(database, server, clock)

        def call(number: int) -> None:
            ready.wait(60)
            try:
                hold = dealer.hold([WALLET], 1, 10)
                hold = hold.result(60) if isinstance(hold, Future) else hold
            except (LimitError, PaymentError):
                with lock:
                    counts["refused"] += 1
                return
            if fate and number % 2:
                return
            settle(database, dealer, [work(hold, request_id=f"{server}-{number}")], clock, server)
            with lock:
                counts["answered"] += 1

        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        threads = [threading.Thread(target=call, args=(n,)) for n in range(int(callers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(counts["answered"], counts["refused"], flush=True)  # noqa: T201
        if fate:
            os.kill(os.getpid(), signal.SIGKILL)
        dealer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
