"""What a contract has to say to be served."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest

from freehold.errors import FreeholdError, InputError
from freehold.project import Serve
from freehold.serve.asked import Asked
from freehold.serve.ports import Caller, EncodedText, ModelEngine
from freehold.serve.reply import Headers, Reply, failure

if TYPE_CHECKING:
    from freehold.serve.factory import Service

__all__ = ["Contract", "Find", "Request", "check_count", "posts"]

# The engine that answers a name, for a caller. Raises NotFoundError.
Find = Callable[[str, Caller], ModelEngine]


@dataclass(frozen=True, slots=True)
class Request:
    """The inputs of a request, and how their answers become the bytes that are sent. `admit` takes
    what the inputs were encoded to and raises InputError where the parameters rule that out."""

    texts: tuple[Any, ...]
    admit: Callable[[Sequence[EncodedText]], None]
    render: Callable[[Sequence[Any]], bytes]


class Contract(ABC):
    """The defaults are those of answers in JSON, and of errors that are one sentence in it."""

    prefix: ClassVar[str]  # which all of its paths begin with
    order: ClassVar[int] = 1  # in which contracts are asked whether a path is theirs

    @abstractmethod
    def asks(self, path: str) -> bool:
        """Whether a POST to this path asks a model; all else is in `routes`."""

    @abstractmethod
    def read(self, asked: Asked, find: Find, max_inputs: int) -> tuple[ModelEngine, Request]:
        """The engine that is asked, and what it is asked. Raises InputError, NotFoundError."""

    def digest(self, asked: Asked) -> str:
        """What tells this request from another with its Idempotency-Key; hex."""
        return hashlib.sha256(asked.path.encode() + b"\0" + asked.body).hexdigest()

    def reply(self, asked: Asked, body: bytes, headers: Headers) -> Reply:
        """An answer as it is sent; `body` is what `Request.render` made, now or for the request
        that was answered first, so that all else has to follow from it and from the request."""
        return Reply(200, body, headers)

    def failure(self, error: FreeholdError) -> Reply:
        """An error as it is sent."""
        return failure(error)

    @abstractmethod
    def routes(self, app: FastAPI, service: Service) -> None:
        """Add its paths; those that ask a model by `posts`."""

    def described(
        self, settings: Serve, models: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Its paths and schemas in the API's description; `models` as for `openapi.document`."""
        return {}, {}


def check_count(request: Request, most: int) -> None:
    """Raises InputError where a request has more inputs than a server takes."""
    if len(request.texts) > most:
        raise InputError(
            f"The request has {len(request.texts)} inputs; this server takes {most} at once.",
            hint="Send them in several requests.",
        )


def posts(app: FastAPI, path: str) -> None:
    """Let routing know a path that asks a model, so that it says which method is taken there."""

    async def answer(request: HttpRequest) -> Response:
        raise AssertionError("such a POST is answered before routing")  # pragma: no cover

    app.add_route(path, answer, methods=["POST"])
