"""Every accepted request is answered once and after its record; cancelled ones are not billed."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import FakeEngine, FakeMeta, NoGate

from freehold.clock import Clock, ManualClock
from freehold.errors import (
    DeadlineError,
    FreeholdError,
    LimitError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from freehold.serve.batcher import Batcher, CancelledJob, Job, Result
from freehold.serve.metrics import Metrics
from freehold.serve.ports import Caller, ModelEngine, Outcome, Recorded, Tally, Work


def render(answers: Sequence[Any]) -> bytes:
    return msgspec.json.encode([answer.label for answer in answers])


def job(
    engine: ModelEngine, *texts: str, customer: str = "cus_1", deadline: float | None = None
) -> Job:
    return Job(
        caller=Caller(customer, "key_1"),
        request_id=f"r-{'|'.join(texts)}-{id(texts)}",
        key=None,
        digest="",
        engine=engine,
        encoded=engine.encode(texts),
        render=render,
        deadline=deadline,
    )


@asynccontextmanager
async def batching(
    settle: Callable[[Sequence[Work], Sequence[Tally]], list[Outcome]],
    *,
    batch_tokens: int = 64,
    queue_tokens: int = 100_000,
    clock: Clock | None = None,
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        settle,
        batch_tokens=batch_tokens,
        queue_tokens=queue_tokens,
        observer=Metrics(),
        clock=clock,
    )
    try:
        yield batcher
    finally:
        await asyncio.wait_for(batcher.close(), 20)
        assert batcher.tokens == 0
        assert not batcher.alive


def run(body: Awaitable[None]) -> None:
    async def main() -> None:
        await asyncio.wait_for(body, 60)

    asyncio.run(main())


def answered(result: Result) -> bytes:
    assert isinstance(result, Outcome), result
    return result.body


def until_running(engine: FakeEngine) -> Awaitable[bool]:
    """Wait until a batch has started in the engine."""
    return asyncio.to_thread(engine.running.acquire, timeout=20)


def test_answers_are_those_of_the_engine() -> None:
    async def body() -> None:
        engine, gate = FakeEngine(), NoGate()
        async with batching(gate.settle) as batcher:
            texts = [f"text number {number}" for number in range(40)]
            futures = [batcher.submit(job(engine, text)) for text in texts]
            bodies = [answered(await future) for future in futures]
        encoded = engine.encode(texts)
        rows = FakeEngine().run(encoded)
        assert bodies == [
            render([engine.answer(text, row)]) for text, row in zip(encoded, rows, strict=True)
        ]
        assert [work.tokens for work in gate.settled] == [5] * 40
        assert sum(tally.requests for tally in gate.tallies) == 40

    run(body())


requests = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=8), max_size=15)


@given(requests, st.integers(4, 200), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_every_accepted_input_is_answered_once_within_the_budget(
    plan: list[list[int]], budget: int, models: int
) -> None:
    engines = [FakeEngine(FakeMeta(version=number)) for number in range(models)]
    gate = NoGate()

    async def body() -> None:
        async with batching(gate.settle, batch_tokens=budget) as batcher:
            jobs = [
                job(
                    engines[number % models],
                    *(f"{number} {place}" + " w" * words for place, words in enumerate(request)),
                )
                for number, request in enumerate(plan)
            ]
            futures = [batcher.submit(one) for one in jobs]
            for one, future in zip(jobs, futures, strict=True):
                labels = msgspec.json.decode(answered(await future))
                assert len(labels) == len(one.encoded)

    run(body())
    ran = [text.text for engine in engines for batch in engine.batches for text in batch]
    assert sorted(ran) == sorted(
        f"{number} {place}" + " w" * words
        for number, request in enumerate(plan)
        for place, words in enumerate(request)
    )
    for engine in engines:
        for batch in engine.batches:
            assert len(batch) == 1 or len(batch) * max(t.length for t in batch) <= budget
    for figure in ("inputs", "tokens", "compute_us"):
        works = sum(getattr(work, figure) for work in gate.settled)
        assert works == sum(getattr(tally, figure) for tally in gate.tallies)
    assert sum(tally.requests for tally in gate.tallies) == len(plan)


def test_the_compute_of_a_batch_is_shared_by_tokens() -> None:
    async def body() -> None:
        engine = FakeEngine(seconds_per_token=0.001, hold=threading.Event())
        gate = NoGate()
        async with batching(gate.settle) as batcher:
            first = batcher.submit(job(engine, "keep it busy"))
            await until_running(engine)
            short = batcher.submit(job(engine, "a b"))
            long = batcher.submit(job(engine, "a b c d e f"))
            assert engine.hold is not None
            engine.hold.set()
            await asyncio.gather(first, short, long)
        assert [len(batch) for batch in engine.batches] == [1, 2]
        by_tokens = {work.tokens: work.compute_us for work in gate.settled}
        assert by_tokens[4] > 0
        assert abs(by_tokens[8] - 2 * by_tokens[4]) <= 2
        # 2 x 8 padded tokens of a millisecond each, at least
        assert by_tokens[4] + by_tokens[8] >= 16_000

    run(body())


def test_a_request_may_be_split_over_batches() -> None:
    async def body() -> None:
        engine, gate = FakeEngine(), NoGate()
        async with batching(gate.settle, batch_tokens=12) as batcher:
            result = await batcher.submit(job(engine, *(f"text {n}" for n in range(10))))
            assert len(msgspec.json.decode(answered(result))) == 10
        assert len(engine.batches) == 4  # three texts of four tokens each, then one
        assert len(gate.settled) == 1
        assert gate.settled[0].inputs == 10
        assert gate.tallies == [Tally("bank", 1, 1, 10, 40, gate.settled[0].compute_us)]

    run(body())


def test_a_full_queue_is_a_limit_with_a_time_to_wait() -> None:
    async def body() -> None:
        engine = FakeEngine(hold=threading.Event())
        async with batching(NoGate().settle, queue_tokens=20) as batcher:
            future = batcher.submit(job(engine, "a b c d e f g h i j"))
            assert batcher.tokens == 12
            with pytest.raises(LimitError) as refused:
                batcher.submit(job(engine, "a b c d e f g"))
            assert 1 <= refused.value.retry_after <= 60
            other = batcher.submit(job(engine, "a b c d e f"))  # 8 fit exactly
            with pytest.raises(TooLargeError, match="30 tokens"):
                batcher.submit(job(engine, *("a b c d e f g h",) * 3))
            assert engine.hold is not None
            engine.hold.set()
            answered(await future)
            answered(await other)
            answered(await batcher.submit(job(engine, "a b c d e f g h i j")))

    run(body())


def test_one_customer_cannot_fill_the_queue_for_others() -> None:
    async def body() -> None:
        engine = FakeEngine(hold=threading.Event())
        async with batching(NoGate().settle, queue_tokens=40) as batcher:
            text = "a b c d e f g h"  # 10 tokens
            futures = [batcher.submit(job(engine, text, customer="flood")) for _ in range(4)]
            with pytest.raises(LimitError):
                batcher.submit(job(engine, text, customer="flood"))
            # Half of the queue is the share of one of two, a third that of one of three.
            futures += [batcher.submit(job(engine, text, customer="second")) for _ in range(2)]
            with pytest.raises(LimitError):
                batcher.submit(job(engine, text, customer="second"))
            futures.append(batcher.submit(job(engine, text, customer="third")))
            with pytest.raises(LimitError):
                batcher.submit(job(engine, text, customer="third"))
            futures.append(batcher.submit(job(engine, text, customer="fourth")))
            # In all, twice the queue is the end, whoever asks.
            assert batcher.tokens == 80
            with pytest.raises(LimitError):
                batcher.submit(job(engine, "a", customer="fifth"))
            assert engine.hold is not None
            engine.hold.set()
            for future in futures:
                answered(await future)
            # Once the others have been answered, one may have it all again.
            again = [batcher.submit(job(engine, text, customer="second")) for _ in range(4)]
            for future in again:
                answered(await future)
            assert batcher._held == {}

    run(body())


def test_a_flood_does_not_hold_up_another_customer() -> None:
    async def body() -> None:
        engine = FakeEngine(hold=threading.Event())
        async with batching(NoGate().settle, batch_tokens=16) as batcher:
            flood = [batcher.submit(job(engine, "of mine", customer="flood")) for _ in range(40)]
            await until_running(engine)
            other = batcher.submit(job(engine, "one other", customer="other"))
            assert engine.hold is not None
            engine.hold.set()
            await asyncio.gather(other, *flood)
        texts = [[text.text for text in batch] for batch in engine.batches]
        assert "one other" in texts[1]

    run(body())


def test_what_is_too_late_is_withdrawn_before_its_batch_and_not_billed() -> None:
    async def body() -> None:
        engine, gate, clock = FakeEngine(hold=threading.Event()), NoGate(), ManualClock()
        async with batching(gate.settle, clock=clock) as batcher:
            # Its batch begins in time, so it is answered although it ends too late.
            begun = batcher.submit(job(engine, "begun", deadline=100.0))
            await until_running(engine)
            late = batcher.submit(job(engine, "late", "late too", deadline=100.0))
            later = batcher.submit(job(engine, "later", deadline=200.0))
            never = batcher.submit(job(engine, "never"))
            clock.advance(seconds=100)
            with pytest.raises(DeadlineError):
                batcher.submit(job(engine, "at once", deadline=100.0))
            assert engine.hold is not None
            engine.hold.set()
            result = await late
            assert isinstance(result, DeadlineError)
            assert result.status == 504
            for future in (begun, later, never):
                answered(await future)
        assert [[text.text for text in batch] for batch in engine.batches] == [
            ["begun"],
            ["later", "never"],
        ]
        assert sum(work.inputs for work in gate.settled) == 3

    run(body())


def test_a_client_is_told_at_its_deadline_while_the_engine_is_busy() -> None:
    async def body() -> None:
        engine, gate = FakeEngine(hold=threading.Event()), NoGate()
        async with batching(gate.settle) as batcher:
            busy = batcher.submit(job(engine, "keep it busy"))
            await until_running(engine)
            soon = batcher._clock.monotonic() + 0.02
            late = batcher.submit(job(engine, "late", "late too", deadline=soon))
            assert isinstance(await late, DeadlineError)
            assert batcher.tokens == 5
            assert engine.hold is not None
            engine.hold.set()
            answered(await busy)
        assert len(engine.batches) == 1

    run(body())


def test_work_cancelled_before_its_batch_is_not_run_and_not_billed() -> None:
    async def body() -> None:
        engine, gate = FakeEngine(hold=threading.Event()), NoGate()
        async with batching(gate.settle) as batcher:
            running = job(engine, "is running")
            waiting = job(engine, "is waiting", "with two texts")
            first = batcher.submit(running)
            await until_running(engine)
            second = batcher.submit(waiting)
            assert batcher.cancel(running) is False
            assert batcher.cancel(waiting) is True
            assert batcher.cancel(waiting) is False
            assert isinstance(await second, CancelledJob)
            assert batcher.tokens == running.tokens
            assert engine.hold is not None
            engine.hold.set()
            answered(await first)
            assert batcher.cancel(running) is False
        assert [[text.text for text in batch] for batch in engine.batches] == [["is running"]]
        assert [work.request_id for work in gate.settled] == [running.request_id]

    run(body())


def test_a_broken_batch_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> None:
        engine, gate = FakeEngine(hold=threading.Event()), NoGate()
        async with batching(gate.settle, batch_tokens=8) as batcher:
            busy = batcher.submit(job(engine, "keep it busy"))
            await until_running(engine)
            # The second half of the broken request would run in a later batch: it must not.
            broken = batcher.submit(job(engine, "boom a", "a b c d e f g"))
            good = batcher.submit(job(engine, "a good one with more words"))
            assert engine.hold is not None
            engine.hold.set()
            result = await broken
            assert isinstance(result, FreeholdError)
            assert result.status == 500
            assert "secret" not in result.sentence()
            answered(await busy)
            answered(await good)
            garbled = await batcher.submit(job(engine, "garble this"))
            assert isinstance(garbled, FreeholdError)
            answered(await batcher.submit(job(engine, "and on it goes")))
        assert ["a b c d e f g"] not in [[t.text for t in batch] for batch in engine.batches]
        assert len(gate.settled) == 3

    with caplog.at_level(logging.ERROR):
        run(body())
    assert [record.message for record in caplog.records] == [
        "a batch of 1 inputs failed",
        "an answer could not be made",
    ]


@pytest.mark.parametrize(
    ("failure", "status"), [(StoreError("The database is gone."), 503), (KeyError("bug"), 500)]
)
def test_nothing_leaves_that_was_not_recorded(
    failure: Exception, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> None:
        engine, gate = FakeEngine(), NoGate(failure=failure)
        async with batching(gate.settle) as batcher:
            futures = [batcher.submit(job(engine, f"text {number}")) for number in range(5)]
            for future in futures:
                result = await future
                assert isinstance(result, FreeholdError)
                assert result.status == status
                if status == 503:
                    assert isinstance(result, UnavailableError)
                    assert result.retry_after >= 1
            gate.failure = None
            answered(await batcher.submit(job(engine, "it goes on")))
        assert [work.inputs for work in gate.settled] == [1]

    with caplog.at_level(logging.ERROR):
        run(body())
    assert "could not be recorded" in caplog.text


def test_answers_wait_for_their_commit_and_commits_take_what_has_finished() -> None:
    async def body() -> None:
        engine, commits = FakeEngine(), []
        slow, begun = threading.Event(), threading.Event()

        def settle(works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
            commits.append([work.request_id for work in works])
            begun.set()
            slow.wait(20)
            return [Outcome(work.request_id, Recorded.METERED, work.body) for work in works]

        async with batching(settle, batch_tokens=4) as batcher:
            first = batcher.submit(job(engine, "one text"))
            await asyncio.to_thread(begun.wait, 20)
            others = [batcher.submit(job(engine, "one text")) for _ in range(6)]
            for _ in range(7):
                await until_running(engine)
            await asyncio.sleep(0.05)
            assert not first.done()
            assert not any(other.done() for other in others)
            slow.set()
            await asyncio.gather(first, *others)
        assert len(commits[0]) == 1
        assert len(commits) <= 4  # six batches of one, in the commits that were free to take them
        assert sum(len(commit) for commit in commits) == 7

    run(body())


def test_closing_finishes_what_was_accepted() -> None:
    async def body() -> None:
        engine, gate = FakeEngine(hold=threading.Event()), NoGate()
        async with batching(gate.settle, batch_tokens=8) as batcher:
            futures = [batcher.submit(job(engine, f"text {number}")) for number in range(20)]
            closing = asyncio.create_task(batcher.close())
            await asyncio.sleep(0)
            with pytest.raises(UnavailableError, match="stopping"):
                batcher.submit(job(engine, "too late"))
            assert engine.hold is not None
            engine.hold.set()
            await closing
            assert all(future.done() for future in futures)
            assert len(gate.settled) == 20

    run(body())


def test_a_client_that_left_is_billed_for_work_that_had_started() -> None:
    async def body() -> None:
        engine, gate = FakeEngine(hold=threading.Event()), NoGate()
        async with batching(gate.settle) as batcher:
            future = batcher.submit(job(engine, "started"))
            await until_running(engine)
            future.cancel()  # nobody waits any longer
            assert engine.hold is not None
            engine.hold.set()
        assert len(gate.settled) == 1

    run(body())
