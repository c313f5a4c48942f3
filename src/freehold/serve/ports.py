"""What the server needs from others: engines that answer, and a gate.

The gate knows who asks and records what was answered. The server knows neither meter nor bill;
`freehold.app` hands it the gate.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

from freehold.errors import ForbiddenError

__all__ = [
    "Allowance",
    "Caller",
    "EncodedText",
    "Gate",
    "Hold",
    "ModelEngine",
    "ModelMeta",
    "Outcome",
    "Recorded",
    "Take",
    "Tally",
    "Work",
]


@dataclass(frozen=True, slots=True)
class Allowance:
    """One bound on what a caller may use; whoever has one with the same `id` shares it.

    `kind` is requests or tokens (a bucket of `size`, refilled evenly over a minute), quota (`size`
    units in a calendar month, UTC) or wallet (what was paid for; `size` is 0). `line` is the first
    key of the line of keys that it belongs to; empty: all of the customer's keys.
    """

    id: str
    customer_id: str
    kind: str
    unit: str  # requests, inputs, tokens
    size: int
    line: str = ""

    def units(self, inputs: int, tokens: int) -> int:
        """What a request takes of it."""
        if self.unit == "requests":
            return 1
        return tokens if self.unit == "tokens" else inputs


@dataclass(frozen=True, slots=True)
class Take:
    """Units of an allowance; `period` is the month of a quota (YYYY-MM), else empty."""

    allowance: Allowance
    period: str
    units: int

    @property
    def row(self) -> str:
        """What the allowance of the period is called in the database."""
        return f"{self.allowance.id}:{self.period}" if self.period else self.allowance.id


class Hold(Protocol):
    """What was taken for one request before its work: settled with its event, or given back."""

    @property
    def takes(self) -> Sequence[Take]: ...

    def release(self) -> None:
        """Give it back, unless it was settled; once is enough, more does not matter."""
        ...

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """RateLimit and RateLimit-Policy, as far as is known here and now."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request is billed to, by which of their keys they came, and what that one may do.

    `models`: MODEL (all its versions) or MODEL@VERSION; None: all. `until`: when the key or the
    subscription ends. Without `allowances` a caller's requests are not held.
    """

    customer_id: str
    key_id: str
    models: frozenset[str] | None = None
    until: datetime | None = field(default=None, compare=False)
    allowances: tuple[Allowance, ...] = field(default=(), compare=False)

    def may(self, model: str, version: int) -> bool:
        """Whether the key is for this model version."""
        return self.models is None or not self.models.isdisjoint((model, f"{model}@{version}"))

    def require(self, model: str, version: int) -> None:
        """Raise ForbiddenError if the key is for other models."""
        if not self.may(model, version):
            raise ForbiddenError(
                f"This API key is not for model {model}@{version}.",
                hint=f"It is for: {', '.join(sorted(self.models or ()))}.",
            )


@dataclass(frozen=True, slots=True)
class Work:
    """One request whose answer is computed and not yet recorded.

    `tokens` are those the model read, `compute_us` this request's share of its batches' measured
    microseconds, `body` the answer as it will be sent. `payload_digest` is the sha256 (hex) of path
    and body of the request. `hold` is what was taken for it; None where its caller has no limits.
    `cached_inputs`, and their `cached_tokens`, were answered from memory and are in `inputs` and
    `tokens`, too.
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
    hold: Hold | None = None
    cached_inputs: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """What the server counted by itself, as its engine handed out answers of one model version."""

    model: str
    version: int
    requests: int
    inputs: int
    tokens: int
    compute_us: int
    cached_inputs: int = 0
    cached_tokens: int = 0

    def plus(
        self,
        requests: int,
        inputs: int,
        tokens: int,
        compute_us: int,
        cached_inputs: int = 0,
        cached_tokens: int = 0,
    ) -> Tally:
        return replace(
            self,
            requests=self.requests + requests,
            inputs=self.inputs + inputs,
            tokens=self.tokens + tokens,
            compute_us=self.compute_us + compute_us,
            cached_inputs=self.cached_inputs + cached_inputs,
            cached_tokens=self.cached_tokens + cached_tokens,
        )


class Recorded(enum.Enum):
    """What became of a work when it was to be recorded."""

    METERED = "metered"  # recorded by this call: its answer leaves, and is paid for
    REPLAYED = "replayed"  # its key, or it itself, was answered before: nothing is metered
    CONFLICT = "conflict"  # its key belongs to another payload: no answer leaves
    REFUSED = "refused"  # its hold had lapsed and nothing is left to pay for it: no answer leaves


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record of one work; `body` is the answer that may leave now (else empty)."""

    request_id: str
    recorded: Recorded
    body: bytes


class Gate(Protocol):
    """Who may ask, and what was answered. Every method may be called from any thread; all but
    `remembered` and `hold` may wait for the database and raise StoreError."""

    def remembered(self, token: str) -> Caller | None:
        """The caller of an API key, from memory alone; None if `authenticate` has to look.

        Raises AuthError for a key that is remembered to be worthless.
        """
        ...

    def authenticate(self, token: str) -> Caller:
        """The caller of an API key. Raises AuthError, whose message never holds the key, and
        ForbiddenError where nobody pays."""
        ...

    def hold(self, caller: Caller, inputs: int, tokens: int) -> Hold | Future[Hold]:
        """Take what a request needs of its caller's allowances, before the work; not to be called
        without any. At once from what this server holds already, else as a future of the database.

        Raises (the future does) LimitError or PaymentError where there is not enough, TooLargeError
        where there never can be, StoreError.
        """
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
    @property
    def settings(self) -> Mapping[str, Any]:
        """What was tuned on dev: temperature, thresholds …"""
        ...

    def encode(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One EncodedText an input."""
        ...

    def run(self, batch: Sequence[Any]) -> Sequence[Any]:
        """One array of logits an encoded text."""
        ...

    def answer(self, encoded: Any, logits: Any) -> Any:
        """The answer to one text."""
        ...
