"""A batch, its chunks, and what the server needs of whoever keeps them.

The server knows neither meter nor bill; `freehold.app` hands it the store.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from freehold.clock import format_time
from freehold.errors import FreeholdError
from freehold.serve.ports import Caller, Tally, Work

__all__ = [
    "OVER",
    "Answered",
    "Batch",
    "BatchStore",
    "Chunk",
    "Draft",
    "Kept",
    "Loaded",
    "Opened",
]

OVER = frozenset({"done", "failed", "cancelled"})

# The versions that a server can answer with, as (model, version).
Loaded = Collection[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands.

    `status` is queued, running, paused (it goes on by itself), done, failed or cancelled; `reason`
    says why it is paused or failed. `done` and `failed` count lines; `revision` grows with every
    change that can be seen; `busy_us` is the time of its chunks so far, in microseconds.
    """

    id: str
    customer_id: str
    key_id: str
    model: str
    version: int
    status: str
    reason: str | None
    total: int
    done: int
    failed: int
    busy_us: int
    revision: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None  # when the results will be removed; None while it is not over

    @property
    def over(self) -> bool:
        return self.status in OVER

    @property
    def eta_seconds(self) -> float | None:
        """Of work at the pace so far; None where that is not known."""
        answered = self.done + self.failed
        if self.status != "running" or not answered or not self.busy_us:
            return None
        return round(self.busy_us / 1e6 / answered * (self.total - answered), 1)

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "status": self.status,
            "error": self.reason,
            "model": self.model,
            "version": self.version,
            "total": self.total,
            "done": self.done,
            "failed": self.failed,
            "eta_seconds": self.eta_seconds,
            "created_at": format_time(self.created_at),
            "started_at": _time(self.started_at),
            "ended_at": _time(self.ended_at),
            "expires_at": _time(self.expires_at),
        }

    def created(self) -> dict[str, Any]:
        """Its document as it was when it had just been accepted."""
        new = Batch(
            self.id, self.customer_id, self.key_id, self.model, self.version, "queued", None,
            self.total, 0, 0, 0, 0, self.created_at, None, None, None,
        )  # fmt: skip
        return new.document()


def _time(at: datetime | None) -> str | None:
    return format_time(at) if at is not None else None


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch that is about to be kept. `digest` is the sha256 (hex) of what was asked and sent;
    `total` counts its lines without the blank ones."""

    caller: Caller
    model: str
    version: int
    total: int
    key: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some lines of the file, as they were sent: what is answered, metered and committed at once.

    `first` of them is this one in the batch's order (from 0, blank lines not counted), `line` in
    the file (from 1).
    """

    first: int
    line: int
    lines: int
    requests: bytes


@dataclass(frozen=True, slots=True)
class Answered:
    """A chunk's answers: `works` are those that are metered, `results` a line of JSON for each of
    its lines, `seconds` what it took. Where only its first lines could be paid, `chunk` is those,
    `rest` the others, and `refusal` says why."""

    chunk: Chunk
    rest: Chunk | None
    refusal: FreeholdError | None
    works: Sequence[Work]
    tallies: Sequence[Tally]
    results: bytes
    done: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of a draft: `new`, or the batch that its Idempotency-Key made before."""

    batch: Batch
    new: bool


class Kept(enum.Enum):
    """What became of a chunk's answers."""

    RECORDED = "recorded"  # by this call, or by one before whose acknowledgement was lost
    LOST = "lost"  # the batch was cancelled, or is another's now: nothing was recorded
    REFUSED = "refused"  # nothing is left to pay for it: nothing was recorded


class BatchStore(Protocol):
    """Keeps batches. Every method may be called from any thread, may wait for the database, and
    raises StoreError."""

    @property
    def folder(self) -> Path:
        """Where a file that is being received may lie."""
        ...

    @property
    def lease_seconds(self) -> float:
        """For how long a batch is held by who has claimed it, from its last sign of life."""
        ...

    def add(self, draft: Draft, chunks: Callable[[], Iterable[Chunk]]) -> Opened:
        """Keep a batch, in several short transactions of which the last one makes it count.

        Raises ConflictError if its key was used for another file, LimitError if the customer has
        too many that are not over.
        """
        ...

    def known(self, customer_id: str, key: str, digest: str) -> Batch | None:
        """The batch that a customer's Idempotency-Key made. Raises ConflictError if it was made of
        something else."""
        ...

    def get(self, customer_id: str, batch_id: str) -> Batch:
        """Raises NotFoundError, also for another customer's."""
        ...

    def list(self, customer_id: str, *, limit: int, after: str | None) -> list[Batch]:
        """The customer's, newest first; those older than the batch `after`, where it is given."""
        ...

    def cancel(self, customer_id: str, batch_id: str) -> Batch:
        """End it at once; what is done stays. Raises NotFoundError, ConflictError if it is over."""
        ...

    def remove(self, customer_id: str, batch_id: str) -> None:
        """Remove its texts and results. Raises NotFoundError, ConflictError if it is not over."""
        ...

    def results(self, batch_id: str, *, first: int) -> tuple[int, bytes] | None:
        """The results of the chunk that the line `first` (from 0) is in, and which line its first
        one is; None where they are not there (yet)."""
        ...

    def claim(self, loaded: Loaded) -> Batch | None:
        """Take the batch whose turn it is, to be held for some seconds; None if there is none."""
        ...

    def caller(self, batch: Batch) -> Caller:
        """On whose account it runs. Raises ForbiddenError where nobody would pay."""
        ...

    def renew(self, batch: Batch) -> bool:
        """Hold it for some more seconds; False if it was cancelled, or is another's now."""
        ...

    def chunks(self, batch: Batch, *, after: int, limit: int) -> Sequence[Chunk]:
        """The next chunks, behind the line `after` (from 0), that have no answers yet."""
        ...

    def record(self, batch: Batch, answered: Answered) -> Kept:
        """Record a chunk's answers, their usage events and the progress in one transaction."""
        ...

    def waiting(self, loaded: Loaded) -> bool:
        """Whether another batch waits for its turn."""
        ...

    def yield_turn(self, batch: Batch, *, reason: str | None = None, seconds: float = 0.0) -> None:
        """Let go of it; with a reason it is paused, for so many seconds at least."""
        ...

    def tidy(self, loaded: Loaded) -> None:
        """Remove what has expired or was never received whole, say of batches that nobody can
        answer that they wait, and end those that have waited too long."""
        ...
