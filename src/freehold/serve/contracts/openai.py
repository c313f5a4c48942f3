"""The embeddings and models of OpenAI's API, as its client asks for them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest
from msgspec import Meta

from freehold.errors import ConflictError, FreeholdError, InputError, NotFoundError
from freehold.project import Serve
from freehold.serve.asked import Asked
from freehold.serve.contracts import openai_described
from freehold.serve.contracts.base import Contract, Find, Request, check_count, posts
from freehold.serve.ports import EncodedText, ModelEngine
from freehold.serve.reply import Reply, failure_headers
from freehold.tasks.answers import VectorAnswer
from freehold.tasks.shapes import said

if TYPE_CHECKING:
    from freehold.serve.factory import Service

__all__ = ["CONTRACT", "OpenAI"]

_encode = msgspec.json.Encoder().encode
_EMBEDS = "sentence-embedding"
_HINT = 'Send {"model": "NAME", "input": "a text"} or a list of texts as input.'
# What the API says for a status: its type and its code.
_KINDS: dict[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "permission_denied"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}
_SERVER_ERROR = 500
_UNUSABLE = 422  # which this API calls 400


class _ParamError(InputError):
    """A field of the body is not usable; `param` is its name."""

    def __init__(self, param: str | None, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.param = param


class Embeddings(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a request. `user` is taken and has no effect: who asks is told by the key."""

    model: str
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


_body = msgspec.json.Decoder(Embeddings)


class OpenAI(Contract):
    prefix = "/v1"

    def asks(self, path: str) -> bool:
        return path == "/v1/embeddings"

    def read(self, asked: Asked, find: Find, max_inputs: int) -> tuple[ModelEngine, Request]:
        body = _read(asked.body)
        engine = find(body.model, asked.caller)
        if engine.meta.task != _EMBEDS:
            raise _ParamError(
                "model",
                f"The model {body.model[:80]!r} is for {engine.meta.task}; embeddings are had from "
                f"one for {_EMBEDS}.",
                hint="GET /models says what each is for.",
            )
        if body.dimensions is not None:
            raise _ParamError(
                "dimensions",
                "The vectors of this model mean nothing when they are cut.",
                hint="Leave dimensions out.",
            )
        answer = _Answer(body, _texts(body.input))
        request = Request(answer.texts, answer.admit, answer.render)
        check_count(request, max_inputs)
        return engine, request

    def failure(self, error: FreeholdError) -> Reply:
        status = 400 if error.status == _UNUSABLE else error.status
        usual = "server_error" if status >= _SERVER_ERROR else "invalid_request_error"
        kind, code = _KINDS.get(status, (usual, None))
        if isinstance(error, NotFoundError):
            code = "model_not_found"
        param = error.param if isinstance(error, _ParamError) else None
        document = {"message": error.sentence(), "type": kind, "param": param, "code": code}
        headers = failure_headers(error)
        if isinstance(error, ConflictError):
            # Its client would try again, which cannot help.
            headers = (*headers, (b"x-should-retry", b"false"))
        return Reply(status, _encode({"error": document}), headers)

    def described(
        self, settings: Serve, models: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        embed = [name for name, task in models.items() if task == _EMBEDS]
        return openai_described.described(settings, min(embed, default="search"))

    def routes(self, app: FastAPI, service: Service) -> None:
        loaded = int(service.clock.now().timestamp())

        def model(name: str) -> dict[str, Any]:
            return {"id": name, "object": "model", "created": loaded, "owned_by": "freehold"}

        async def models(request: HttpRequest) -> Response:
            caller = await service.caller(request.headers.get("authorization"))
            return _json(
                {"object": "list", "data": [model(name) for name, _ in service.listed(caller)]}
            )

        async def one(request: HttpRequest) -> Response:
            caller = await service.caller(request.headers.get("authorization"))
            name = request.path_params["name"]
            service.find(name, caller)
            return _json(model(name))

        posts(app, "/v1/embeddings")
        app.add_route("/v1/models", models, methods=["GET"])
        app.add_route("/v1/models/{name}", one, methods=["GET"])


class _Answer:
    """A request's texts, and its answer: how many tokens they had is known before the vectors."""

    __slots__ = ("_base64", "_model", "_tokens", "texts")

    def __init__(self, body: Embeddings, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._model = body.model
        self._base64 = body.encoding_format == "base64"
        self._tokens = 0

    def admit(self, encoded: Sequence[EncodedText]) -> None:
        for place, one in enumerate(encoded):
            if one.truncated:
                raise _ParamError(
                    "input",
                    f"Text {place} of input, counted from 0, is longer than the model reads.",
                    hint="Shorten it or split it. GET /models says how many tokens are read.",
                )
        self._tokens = sum(one.length for one in encoded)

    def render(self, answers: Sequence[VectorAnswer]) -> bytes:
        shown = self._packed if self._base64 else self._listed
        rows = [
            {"object": "embedding", "index": place, "embedding": shown(answer)}
            for place, answer in enumerate(answers)
        ]
        usage = {"prompt_tokens": self._tokens, "total_tokens": self._tokens}
        return _encode({"object": "list", "data": rows, "model": self._model, "usage": usage})

    @staticmethod
    def _packed(answer: VectorAnswer) -> str:
        """Little-endian float32 in base64."""
        return base64.b64encode(answer.vector.astype("<f4").tobytes()).decode("ascii")

    @staticmethod
    def _listed(answer: VectorAnswer) -> list[float]:
        values: list[float] = answer.vector.tolist()
        return values


def _read(body: bytes) -> Embeddings:
    try:
        return _body.decode(body)
    except msgspec.ValidationError as error:
        _, _, path = str(error).partition(" - at `$.")
        param = path.strip("`").partition("[")[0] or None
        raise _ParamError(
            param, said(str(error), "" if param else "The body"), hint=_HINT
        ) from None
    except UnicodeDecodeError:
        raise InputError("The body is not UTF-8.", hint="Encode the JSON as UTF-8.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        nested = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if nested else str(error)
        raise InputError(f"The body is not JSON: {reason}.", hint=_HINT) from None


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise _ParamError("input", "input is not a text or a list of texts.", hint=_HINT)
    for place, text in enumerate(texts):
        if isinstance(text, int | list):
            raise _ParamError(
                "input",
                "input holds token ids; this server takes texts, since models have words of their "
                "own.",
                hint="Send the texts themselves (LangChain: check_embedding_ctx_length=False).",
            )
        if not isinstance(text, str):
            raise _ParamError("input", f"input[{place}] is not a text.", hint=_HINT)
    return texts


def _json(value: Any) -> Response:
    return Response(_encode(value), media_type="application/json")


CONTRACT = OpenAI()
