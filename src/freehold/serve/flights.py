"""Requests with an Idempotency-Key, of which one at a time is answered and the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from freehold.errors import ConflictError, DeadlineError, FreeholdError
from freehold.serve.accepted import too_late

__all__ = ["Flight", "Flights"]


class Flight:
    """A keyed request that is being answered; others with its key wait for what becomes of it."""

    __slots__ = ("digest", "landed")

    def __init__(self, digest: str, landed: asyncio.Future[bytes | FreeholdError | None]) -> None:
        self.digest = digest
        self.landed = landed


class Flights:
    """Lives in one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._flying: dict[tuple[str, str], Flight] = {}

    def __len__(self) -> int:
        """How many are being answered."""
        return len(self._flying)

    async def once(
        self,
        place: tuple[str, str],
        digest: str,
        answer: Callable[[], Awaitable[tuple[bytes, bool]]],
        patience: float | None = None,
    ) -> tuple[bytes, bool]:
        """The answer to a request with a customer's key (`place`), and whether it is another's:
        that of the same request in flight, for which it waits `patience` seconds, or what `answer`
        finds.

        Raises ConflictError where the one in flight has another digest, DeadlineError.
        """
        until = None if patience is None else self._loop.time() + patience
        while (ahead := self._flying.get(place)) is not None:
            if ahead.digest != digest:
                raise ConflictError(
                    "This Idempotency-Key is being used for a request with another path or body.",
                    hint="Send a new key with a new request.",
                )
            try:
                async with asyncio.timeout_at(until):
                    landed = await asyncio.shield(ahead.landed)
            except TimeoutError:
                raise too_late() from None
            if isinstance(landed, bytes):
                return landed, True
            if landed is not None:
                raise landed
            # It was withdrawn: this request is the next to try.
        flight = Flight(digest, self._loop.create_future())
        self._flying[place] = flight
        result: bytes | FreeholdError | None = None
        try:
            answered, replayed = await answer()
            result = answered
        except DeadlineError:
            raise  # this request's own: whoever waits behind it may have more time
        except FreeholdError as error:
            result = error
            raise
        finally:
            del self._flying[place]
            flight.landed.set_result(result)
        return answered, replayed
