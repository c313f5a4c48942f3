"""The Open Inference Protocol V2, as tritonclient.http speaks it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi import FastAPI, Response
from fastapi import Request as HttpRequest

from freehold import __version__
from freehold.errors import NotFoundError
from freehold.project import Serve
from freehold.serve.asked import Asked
from freehold.serve.contracts import v2_described
from freehold.serve.contracts.base import Contract, Find, Request, check_count, posts
from freehold.serve.contracts.v2_body import decode, header_length
from freehold.serve.inflate import accepted
from freehold.serve.ports import Caller, ModelEngine, ModelMeta
from freehold.serve.reply import Headers, Reply
from freehold.tasks.registry import task_of

if TYPE_CHECKING:
    from freehold.serve.factory import Service

__all__ = ["CONTRACT", "OpenInference"]

_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_SPLIT = b"inference-header-content-length"
EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository"]
_TYPES = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32", "INT32": "TYPE_INT32", "BOOL": "TYPE_BOOL"}


class OpenInference(Contract):
    prefix = "/v2"

    def asks(self, path: str) -> bool:
        return path.startswith("/v2/models/") and path.endswith("/infer")

    def read(self, asked: Asked, find: Find, max_inputs: int) -> tuple[ModelEngine, Request]:
        place = _INFER.fullmatch(asked.path)
        if place is None:
            raise NotFoundError("There is nothing at this path.", hint="Ask /v2/models/NAME/infer.")
        engine = find(_full(*place.groups()), asked.caller)
        request, seconds = decode(asked.body, asked.header(_SPLIT), engine.meta)
        if seconds is not None:
            asked.hurry(seconds)
        check_count(request, max_inputs)
        return engine, request

    def digest(self, asked: Asked) -> str:
        """Where the JSON ends is part of what is asked."""
        head = f"{asked.path}\0{(asked.header(_SPLIT) or b'').decode('latin-1')}\0"
        return hashlib.sha256(head.encode() + asked.body).hexdigest()

    def reply(self, asked: Asked, body: bytes, headers: Headers) -> Reply:
        """With the header that says where the tensors begin, if some are binary; packed if the
        client takes that."""
        split = header_length(body)
        if split is not None:
            headers = (*headers, (_SPLIT, b"%d" % split))
        encoding = accepted(asked.header(b"accept-encoding") or b"")
        return Reply(200, body, headers, binary=split is not None, encoding=encoding)

    def described(
        self, settings: Serve, models: Mapping[str, str]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return v2_described.described(settings, models)

    def routes(self, app: FastAPI, service: Service) -> None:
        async def who(request: HttpRequest) -> Caller:
            return await service.caller(request.headers.get("authorization"))

        async def engine(request: HttpRequest) -> ModelEngine:
            given = request.path_params
            name = _full(given["name"], given.get("version"))
            return service.find(name, await who(request))

        async def server(request: HttpRequest) -> Response:
            return _json({"name": "freehold", "version": __version__, "extensions": EXTENSIONS})

        async def live(request: HttpRequest) -> Response:
            return _json({"live": True})

        async def ready(request: HttpRequest) -> Response:
            await service.ready()
            return _json({"ready": True})

        async def metadata(request: HttpRequest) -> Response:
            found, caller = await engine(request), await who(request)
            return _json(_metadata(found.meta, service.versions(caller)))

        async def model_ready(request: HttpRequest) -> Response:
            found = await engine(request)
            await service.ready()
            return _json({"name": found.meta.model, "ready": True})

        async def config(request: HttpRequest) -> Response:
            return _json(_config(await engine(request)))

        async def index(request: HttpRequest) -> Response:
            return _json(_index(service.versions(await who(request))))

        app.add_route("/v2", server, methods=["GET"])
        app.add_route("/v2/health/live", live, methods=["GET"])
        app.add_route("/v2/health/ready", ready, methods=["GET"])
        app.add_route("/v2/repository/index", index, methods=["POST"])
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
            app.add_route(path, metadata, methods=["GET"])
            app.add_route(f"{path}/ready", model_ready, methods=["GET"])
            app.add_route(f"{path}/config", config, methods=["GET"])
            posts(app, f"{path}/infer")


def _full(name: str, version: str | None) -> str:
    """The name that means exactly this version, if one is given."""
    return name if version is None else f"{name}@{version}"


def _metadata(meta: ModelMeta, loaded: Sequence[tuple[str, int]]) -> dict[str, Any]:
    task = task_of(meta.task)
    return {
        "name": meta.model,
        "versions": [str(version) for model, version in loaded if model == meta.model],
        "platform": "freehold",
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in task.columns],
        "outputs": [
            {"name": one.name, "datatype": one.datatype, "shape": one.shape(meta.labels)}
            for one in task.tensors
        ],
        "parameters": {
            "task": meta.task,
            "version": str(meta.version),
            "labels": list(meta.labels),
            "max_length": meta.max_length,
        },
    }


def _config(engine: ModelEngine) -> dict[str, Any]:
    """In the words of Triton's model configuration; a batch is a dimension like others here."""
    meta = engine.meta
    task = task_of(meta.task)
    return {
        "name": meta.model,
        "platform": "freehold",
        "backend": "freehold",
        "max_batch_size": 0,
        "version_policy": {"specific": {"versions": [meta.version]}},
        "input": [
            {"name": name, "data_type": "TYPE_STRING", "dims": [-1]} for name in task.columns
        ],
        "output": [
            {"name": one.name, "data_type": _TYPES[one.datatype], "dims": one.shape(meta.labels)}
            for one in task.tensors
        ],
        "parameters": {"task": {"string_value": meta.task}},
    }


def _index(loaded: Sequence[tuple[str, int]]) -> list[dict[str, str]]:
    return [
        {"name": model, "version": str(version), "state": "READY", "reason": ""}
        for model, version in loaded
    ]


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")


CONTRACT = OpenInference()
