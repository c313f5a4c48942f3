"""What the server needs from others: engines that answer, and a gate.

The gate knows who asks and records what was answered. The server knows neither meter nor bill;
`freehold.app` hands it the gate.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

__all__ = [
    "Caller",
    "EncodedText",
    "Gate",
    "ModelEngine",
    "ModelMeta",
    "Outcome",
    "Recorded",
    "Tally",
    "Work",
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is billed to, and by which of their keys they came."""

    customer_id: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Work:
    """One request whose answer is computed and not yet recorded.

    `tokens` are those the model read, `compute_us` this request's share of its batches' measured
    microseconds, `body` the answer as it will be sent. `payload_digest` is the sha256 (hex) of path
    and body of the request.
    """

    caller: Caller
    request_id: str
    idempotency_key: str | None
    payload_digest: str
    model: str
    version: int
    inputs: int
    tokens: int
    compute_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Tally:
    """What the server counted by itself, as its engine handed out answers of one model version."""

    model: str
    version: int
    requests: int
    inputs: int
    tokens: int
    compute_us: int

    def plus(self, requests: int, inputs: int, tokens: int, compute_us: int) -> Tally:
        return replace(
            self,
            requests=self.requests + requests,
            inputs=self.inputs + inputs,
            tokens=self.tokens + tokens,
            compute_us=self.compute_us + compute_us,
        )


class Recorded(enum.Enum):
    """What became of a work when it was to be recorded."""

    METERED = "metered"  # recorded by this call: its answer leaves, and is paid for
    REPLAYED = "replayed"  # its key was answered before: that answer leaves, nothing is metered
    CONFLICT = "conflict"  # its key belongs to another payload: no answer leaves


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record of one work; `body` is the answer that may leave now (empty on CONFLICT)."""

    request_id: str
    recorded: Recorded
    body: bytes


class Gate(Protocol):
    """Who may ask, and what was answered. Every method may be called from any thread; all but
    `remembered` may wait for the database and raise StoreError."""

    def remembered(self, token: str) -> Caller | None:
        """The caller of an API key, from memory alone; None if `authenticate` has to look.

        Raises AuthError for a key that is remembered to be worthless.
        """
        ...

    def authenticate(self, token: str) -> Caller:
        """The caller of an API key. Raises AuthError, whose message never holds the key."""
        ...

    def replay(self, caller: Caller, key: str, digest: str) -> bytes | None:
        """The answer stored under an Idempotency-Key, None if there is none.

        Raises ConflictError if it was given to another payload.
        """
        ...

    def settle(self, works: Sequence[Work], tallies: Sequence[Tally]) -> list[Outcome]:
        """Record answers durably, all in one transaction; one outcome a work, in order."""
        ...

    def ping(self) -> None:
        """Return if the database answers."""
        ...


class ModelMeta(Protocol):
    """What a bundle says about itself."""

    @property
    def model(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def task(self) -> str: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def max_length(self) -> int: ...


class EncodedText(Protocol):
    """A text ready for the model: `length` tokens, special ones counted."""

    @property
    def length(self) -> int: ...
    @property
    def truncated(self) -> bool: ...


class ModelEngine(Protocol):
    """A model version that answers. `encode` and `answer` are called from several threads at once,
    `run` from one."""

    @property
    def meta(self) -> ModelMeta: ...

    def encode(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One EncodedText an input."""
        ...

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """One array of logits an encoded text."""
        ...

    def answer(self, encoded: Any, logits: Any) -> Any:
        """The answer to one text."""
        ...
