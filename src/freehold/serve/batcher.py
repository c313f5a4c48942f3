"""Requests in, batches through one engine thread, answers out after they are recorded.

Three threads of control: the event loop submits and delivers, the engine thread runs batches, the
settle thread turns finished requests into bytes and records them, one commit for all that finished
while the last commit ran. An answer is delivered only after its commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import queue
import threading
from collections.abc import Callable, Sequence

from freehold.clock import Clock, SystemClock
from freehold.errors import (
    LimitError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from freehold.serve.accepted import (
    CancelledJob,
    Job,
    Observer,
    Result,
    broken,
    tallies_of,
    too_late,
    unrecorded,
)
from freehold.serve.fair import FairQueue
from freehold.serve.lanes import Item
from freehold.serve.ports import ModelEngine, Outcome, Tally, Work
from freehold.serve.shares import apportion

__all__ = ["Batcher", "CancelledJob", "Job", "Observer", "Result"]

_log = logging.getLogger("freehold.serve")
_LONGEST_RETRY = 60.0


class Batcher:
    """Accepts jobs until `queue_tokens` are unanswered, and answers every job it accepted.

    A customer that has less than its equal share of the queue is let in although others fill it; in
    all, at most twice `queue_tokens` are accepted.

    Made and used within a running event loop; `settle` is called in the settle thread alone.
    """

    def __init__(
        self,
        settle: Callable[[Sequence[Work], Sequence[Tally]], list[Outcome]],
        *,
        batch_tokens: int,
        queue_tokens: int,
        observer: Observer,
        clock: Clock | None = None,
    ) -> None:
        self._settle = settle
        self._queue_tokens = queue_tokens
        self._observer = observer
        self._clock = clock or SystemClock()
        self._loop = asyncio.get_running_loop()
        # Of the event loop alone:
        self._tokens = 0
        self._held: dict[str, int] = {}  # of them, by customer
        self._jobs = 0
        self._number = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        # Of the loop and the engine thread, under the lock:
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._queue = FairQueue(batch_tokens)
        self._aside: Callable[[], None] | None = None
        self._stopping = False
        self._sleeping = False  # whether the engine thread waits to be woken
        self._pace = 0.0  # tokens a second of engine time; written by the engine thread
        self._finished: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run_engine, name="freehold-engine", daemon=True),
            threading.Thread(target=self._run_settle, name="freehold-settle", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def tokens(self) -> int:
        """Tokens of all requests that are accepted and not yet answered."""
        return self._tokens

    @property
    def pace(self) -> float:
        """Tokens a second of the engine's time, as measured lately; 0 before the first batch."""
        return self._pace

    @property
    def alive(self) -> bool:
        """Whether its threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def submit(self, job: Job) -> asyncio.Future[Result]:
        """Accept a job; its result comes through the future.

        Raises LimitError when too much is waiting, TooLargeError for what could never be accepted,
        DeadlineError for what is too late already, UnavailableError once `close` was called.
        """
        self._admit(job)
        result: asyncio.Future[Result] = self._loop.create_future()
        job.result = result
        customer = job.caller.customer_id
        self._tokens += job.tokens
        self._held[customer] = self._held.get(customer, 0) + job.tokens
        self._jobs += 1
        self._idle.clear()
        number = self._number
        job.items = [
            Item(job, place, encoded, number + place, customer)
            for place, encoded in enumerate(job.encoded)
            if job.logits[place] is None
        ]
        self._number = number + len(job.encoded)
        if not job.items:  # all of it was asked before
            job.started = True
            self._finished.put([job])
            return result
        if job.deadline is not None:
            left = job.deadline - self._clock.monotonic()
            job.timer = self._loop.call_later(left, self._withdraw, job, too_late())
        with self._lock:
            self._queue.add(job.engine, job.items)
            if self._sleeping:
                self._wake.notify()
        return result

    def cancel(self, job: Job) -> bool:
        """Withdraw a job whose first batch has not started; False if it is too late for that."""
        return self._withdraw(job, CancelledJob())

    def _withdraw(self, job: Job, result: Result) -> bool:
        with self._lock:
            if job.started or job.failed:
                return False
            job.failed = True
            self._queue.remove(job.engine, job.items)
        self._deliver([(job, result)])
        return True

    def aside(self, call: Callable[[], None]) -> bool:
        """Run this in the engine thread once no request waits there, for as long as it takes; False
        if one such call waits already, or it is too late. It must not raise."""
        with self._wake:
            if self._stopping or self._closing or self._aside is not None:
                return False
            self._aside = call
            self._wake.notify()
        return True

    async def close(self) -> None:
        """Accept nothing more, finish everything that was accepted, then stop both threads."""
        self._closing = True
        await self._idle.wait()
        with self._wake:
            self._stopping = True
            self._wake.notify()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _admit(self, job: Job) -> None:
        if self._closing:
            raise UnavailableError("This server is stopping.", hint="Try again.", retry_after=1.0)
        if job.tokens > self._queue_tokens:
            raise TooLargeError(
                f"The request has {job.tokens} tokens; this server takes {self._queue_tokens}.",
                hint="Send its inputs in several requests.",
            )
        if job.deadline is not None and job.deadline <= self._clock.monotonic():
            raise too_late()
        if self._tokens + job.tokens > self._queue_tokens and not self._within_share(job):
            raise LimitError(
                "Too much is waiting to be answered.",
                hint="Try again after the time in Retry-After.",
                retry_after=self._time_to_clear(),
            )

    def _within_share(self, job: Job) -> bool:
        """Whether others fill the queue, and this customer stays within its equal share of it."""
        held = self._held.get(job.caller.customer_id, 0)
        customers = len(self._held) + (not held)
        return (
            customers > 1
            and held + job.tokens <= self._queue_tokens // customers
            and self._tokens + job.tokens <= 2 * self._queue_tokens
        )

    def _time_to_clear(self) -> float:
        """Seconds in which what waits will be answered, from the measured pace; within [1, 60]."""
        if self._pace <= 0:
            return 1.0
        return min(_LONGEST_RETRY, max(1.0, math.ceil(self._tokens / self._pace)))

    def _deliver(self, results: Sequence[tuple[Job, Result]]) -> None:
        """In the event loop: hand out results and forget the jobs."""
        for job, result in results:
            self._tokens -= job.tokens
            self._jobs -= 1
            customer = job.caller.customer_id
            self._held[customer] -= job.tokens
            if not self._held[customer]:
                del self._held[customer]
            if job.timer is not None:
                job.timer.cancel()
            if job.result is not None and not job.result.done():
                job.result.set_result(result)
        if not self._jobs:
            self._idle.set()

    def _deliver_soon(self, results: Sequence[tuple[Job, Result]]) -> None:
        if results:
            # A loop that was torn down without `close` has nobody left who waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver, results)

    # The engine thread.

    def _run_engine(self) -> None:
        while True:
            with self._wake:
                while (chosen := self._choose()) is None and not self._stopping:
                    if self._aside is not None:
                        break
                    self._sleeping = True
                    self._wake.wait()
                    self._sleeping = False
                call = None
                if chosen is None:
                    call, self._aside = self._aside, None
            if chosen is not None:
                self._run_batch(*chosen)
            elif call is None or self._stopping:
                break
            else:
                call()
        self._finished.put(None)

    def _choose(self) -> tuple[ModelEngine, list[Item]] | None:
        """The next batch, without what is too late by now. Holds the lock."""
        while (found := self._queue.choose()) is not None:
            engine, items = found
            late = self._too_late(items)
            if late:
                items = [item for item in items if item.job not in late]
            for item in items:
                item.job.started = True
            if items:
                return engine, items
        return None

    def _too_late(self, items: Sequence[Item]) -> dict[Job, None]:
        """The jobs among these items that have not begun and must not begin any more, withdrawn."""
        late: dict[Job, None] = {}
        now: float | None = None
        for item in items:
            job: Job = item.job
            if job.deadline is None or job.started or job in late:
                continue
            now = self._clock.monotonic() if now is None else now
            if job.deadline <= now:
                job.failed = True
                self._queue.remove(job.engine, job.items)
                late[job] = None
        self._deliver_soon([(job, too_late()) for job in late])
        return late

    def _run_batch(self, engine: ModelEngine, items: list[Item]) -> None:
        try:
            started = self._clock.monotonic()
            rows = engine.run([item.encoded for item in items])
            seconds = max(0.0, self._clock.monotonic() - started)
            if len(rows) != len(items):
                raise RuntimeError(f"the engine answered {len(rows)} of {len(items)} texts")
        except Exception as error:  # noqa: BLE001 - whatever it is, it must end with this batch
            _log.error("a batch of %d inputs failed", len(items), exc_info=error)
            self._fail(list(dict.fromkeys(item.job for item in items)))
            return
        lengths = [item.length for item in items]
        finished = []
        shares = apportion(round(seconds * 1e6), lengths)
        for item, row, share in zip(items, rows, shares, strict=True):
            job: Job = item.job
            job.logits[item.place] = row
            job.compute_us += share
            job.tokens_done += item.length
            job.done += 1
            if job.done == len(job.encoded) and not job.failed:
                finished.append(job)
        if finished:
            self._finished.put(finished)
        self._measure(sum(lengths), seconds)
        self._observer.batch(engine, len(items), sum(lengths), len(items) * max(lengths), seconds)

    def _measure(self, tokens: int, seconds: float) -> None:
        if seconds > 0:
            pace = tokens / seconds
            self._pace = pace if self._pace == 0 else 0.8 * self._pace + 0.2 * pace

    def _fail(self, jobs: Sequence[Job]) -> None:
        """Answer the jobs of a failed batch with an error and drop what of them still waits."""
        failed = []
        with self._lock:
            for job in jobs:
                if not job.failed:
                    job.failed = True
                    self._queue.remove(job.engine, job.items)
                    failed.append(job)
        self._deliver_soon([(job, broken()) for job in failed])

    # The settle thread.

    def _run_settle(self) -> None:
        while (jobs := self._finished.get()) is not None:
            stopping = False
            while True:
                try:
                    more = self._finished.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stopping = True
                    break
                jobs = jobs + more
            self._deliver_soon(self._record(jobs))
            if stopping:
                break

    def _record(self, jobs: Sequence[Job]) -> list[tuple[Job, Result]]:
        """Make the answers and record them; what may be delivered now."""
        results: list[tuple[Job, Result]] = []
        works: list[Work] = []
        kept: list[Job] = []
        for job in jobs:
            try:
                work = job.work()
            except Exception as error:  # noqa: BLE001 - one request's answer must not stop others
                _log.error("an answer could not be made", exc_info=error)
                results.append((job, broken()))
                continue
            if job.apart:
                results.append((job, work))
            else:
                works.append(work)
                kept.append(job)
        if not kept:
            return results
        started = self._clock.monotonic()
        try:
            outcomes: Sequence[Result] = self._settle(works, tallies_of(kept))
            if len(outcomes) != len(works):
                raise RuntimeError(f"{len(outcomes)} of {len(works)} answers were recorded")
        except StoreError as error:
            _log.error("%d answers could not be recorded: %s", len(works), error.message)
            outcomes = [unrecorded()] * len(works)
        except Exception as error:  # noqa: BLE001 - nothing may leave unmetered, and the server goes on
            _log.error("%d answers could not be recorded", len(works), exc_info=error)
            outcomes = [broken()] * len(works)
        self._observer.settled(len(works), self._clock.monotonic() - started)
        results.extend(zip(kept, outcomes, strict=True))
        return results
