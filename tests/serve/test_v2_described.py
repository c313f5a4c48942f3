"""What the OpenAPI document says of V2 is what the server takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from serving import SETTINGS, NoGate, client, serving, tiny_engine

from freehold.serve.openapi import document
from freehold.serve.server import ServerThread
from freehold.tasks.registry import kinds, task_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    folder: Path = tmp_path_factory.mktemp("tasks") / "tiny"
    with serving(NoGate(), *(tiny_engine(kind, folder) for kind in kinds())) as running:
        yield running


@pytest.mark.parametrize("kind", kinds())
def test_what_the_schema_allows_is_answered_by_its_schema(kind: str, server: ServerThread) -> None:
    of_task = schemathesis.openapi.from_dict(document(SETTINGS, {kind: kind}))
    operation = of_task["/v2/models/{name}/infer"]["POST"]

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    @settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def allowed(case: schemathesis.Case) -> None:
        if case.media_type != "application/json":
            return
        case.path_parameters = {"name": kind}
        case.headers.clear()
        # What a schema cannot say: lengths are the same, and each output is asked for once.
        count = min(len(one["data"]) for one in case.body["inputs"])
        for one in case.body["inputs"]:
            one["data"] = one["data"][:count]
            one["shape"] = [count, *([1] if len(one["shape"]) > 1 else [])]
        outputs = {one["name"]: one for one in case.body.get("outputs") or ()}
        for one in outputs.values():
            given = one.get("parameters") or {}
            if "classification" in given:  # 1.0 is a whole number to JSON Schema, but not here
                given["classification"] = int(given["classification"])
        if "outputs" in case.body:
            case.body["outputs"] = list(outputs.values())
        case.call_and_validate(
            base_url=server.url,
            headers={"Authorization": "Bearer any"},
            excluded_checks=[schemathesis.checks.ignored_auth],
        )

    allowed()


@pytest.mark.parametrize("kind", kinds())
def test_what_the_server_takes_fits_the_schema(kind: str, server: ServerThread) -> None:
    components = document(SETTINGS, {kind: kind})["components"]
    schema = {"$ref": "#/components/schemas/V2Infer", "components": components}
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [2], "data": ["a", "b c"]}
        for name in task_of(kind).columns
    ]
    wanted = [{"name": one.name} for one in task_of(kind).tensors]
    with client(server, "k") as http:
        for body in (
            {"inputs": inputs},
            {"inputs": inputs[::-1], "outputs": wanted, "id": "x"},
            {"inputs": [{**one, "shape": [2, 1]} for one in inputs], "parameters": {}},
            {"inputs": inputs, "outputs": None, "parameters": None, "id": None},
            {"inputs": inputs, "outputs": [{"name": wanted[0]["name"], "parameters": None}]},
            {"inputs": inputs, "parameters": {"binary_data_output": True}},
            {"inputs": inputs, "outputs": [{"name": "nothing"}]},
            {"inputs": inputs * 2},
            {"inputs": inputs, "misspelt": 1},
            {"inputs": [{**one, "datatype": "FP32"} for one in inputs]},
            {"inputs": []},
        ):
            reply = http.post(f"/v2/models/{kind}/infer", json=body)
            said = Draft202012Validator(schema).is_valid(body)
            assert said == (reply.status_code == 200), reply.text
