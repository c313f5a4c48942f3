"""One accepted request on its way through the batcher, and what may become of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from freehold.errors import DeadlineError, FreeholdError, UnavailableError
from freehold.serve.lanes import Item
from freehold.serve.ports import Caller, Hold, ModelEngine, Outcome, Tally, Work

__all__ = [
    "CancelledJob",
    "Job",
    "Observer",
    "Result",
    "broken",
    "tallies_of",
    "too_late",
    "unrecorded",
]


class CancelledJob:
    """What a job results in that was withdrawn before its first batch."""


Result = Outcome | FreeholdError | CancelledJob | Work


class Job:
    """One request on its way: its encoded texts, then their logits, then its answer.

    `result` is set in the event loop once the answer may leave; it never raises, so that a request
    whose client has gone leaves nothing behind. `deadline` is on the batcher's monotonic clock: the
    time by which its first batch has to begin. `known` are the logits of texts that were asked
    before, None for the others; a job of which all are known needs no batch. A job `apart` results
    in its Work, which whoever submitted it records before the answer leaves.
    """

    __slots__ = (
        "apart",
        "cached_inputs",
        "cached_tokens",
        "caller",
        "compute_us",
        "deadline",
        "digest",
        "done",
        "encoded",
        "engine",
        "failed",
        "hold",
        "items",
        "key",
        "logits",
        "render",
        "request_id",
        "result",
        "started",
        "timer",
        "tokens",
        "tokens_done",
    )

    def __init__(
        self,
        *,
        caller: Caller,
        request_id: str,
        key: str | None,
        digest: str,
        engine: ModelEngine,
        encoded: Sequence[Any],
        render: Callable[[list[Any]], bytes],
        deadline: float | None = None,
        hold: Hold | None = None,
        known: Sequence[Any] | None = None,
        apart: bool = False,
    ) -> None:
        self.caller = caller
        self.request_id = request_id
        self.key = key
        self.digest = digest
        self.engine = engine
        self.encoded = encoded
        self.render = render
        self.deadline = deadline
        self.hold = hold
        self.apart = apart
        self.tokens: int = sum(text.length for text in encoded)
        self.items: list[Item] = []
        self.logits: list[Any] = [None] * len(encoded) if known is None else list(known)
        self.started = False
        self.failed = False
        self.cached_inputs = 0
        self.cached_tokens = 0
        if known is not None:
            kept = [
                text.length for text, row in zip(encoded, known, strict=True) if row is not None
            ]
            self.cached_inputs, self.cached_tokens = len(kept), sum(kept)
        self.done = self.cached_inputs
        self.tokens_done = self.cached_tokens
        self.compute_us = 0
        self.result: asyncio.Future[Result] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def work(self) -> Work:
        """The finished request, answer included, as it is to be recorded."""
        answer = self.engine.answer
        answers = [answer(text, row) for text, row in zip(self.encoded, self.logits, strict=True)]
        meta = self.engine.meta
        return Work(
            caller=self.caller,
            request_id=self.request_id,
            idempotency_key=self.key,
            payload_digest=self.digest,
            model=meta.model,
            version=meta.version,
            inputs=len(self.encoded),
            tokens=self.tokens,
            compute_us=self.compute_us,
            body=self.render(answers),
            hold=self.hold,
            cached_inputs=self.cached_inputs,
            cached_tokens=self.cached_tokens,
        )


class Observer(Protocol):
    """Who is told about batches and commits, from their threads."""

    def batch(
        self, engine: ModelEngine, inputs: int, tokens: int, padded: int, seconds: float
    ) -> None: ...

    def settled(self, works: int, seconds: float) -> None: ...


def tallies_of(jobs: Sequence[Job]) -> list[Tally]:
    """What the engine thread counted item by item, by model version: the server's own record."""
    sums: dict[int, list[int]] = {}
    engines: dict[int, ModelEngine] = {}
    for job in jobs:
        place = id(job.engine)
        found = sums.get(place)
        if found is None:
            found = sums[place] = [0, 0, 0, 0, 0, 0]
            engines[place] = job.engine
        found[0] += 1
        found[1] += job.done
        found[2] += job.tokens_done
        found[3] += job.compute_us
        found[4] += job.cached_inputs
        found[5] += job.cached_tokens
    return [
        Tally(engines[place].meta.model, engines[place].meta.version, *found)
        for place, found in sums.items()
    ]


def too_late() -> DeadlineError:
    return DeadlineError(
        "The time for this request was over before it was begun; it is not billed.",
        hint="Try again, or allow more in X-Timeout-Ms.",
    )


def broken() -> FreeholdError:
    return FreeholdError(
        "The server failed to answer; this is not the request's fault.", hint="Try again."
    )


def unrecorded() -> UnavailableError:
    return UnavailableError(
        "The answer could not be recorded, so it was not sent.",
        hint="Try again, best with the same Idempotency-Key.",
        retry_after=1.0,
    )
