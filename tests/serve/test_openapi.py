"""The OpenAPI document is what the server does: every path is there, no input makes it fail, and
what the schema of a task allows is answered, by an answer of that schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypedDict

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from serving import (
    SETTINGS,
    FakeEngine,
    FakeMeta,
    NoGate,
    add_customer,
    batches_of,
    client,
    serving,
    tiny_engine,
)

from freehold.serve.openapi import document
from freehold.serve.server import ServerThread
from freehold.store.database import Database
from freehold.tasks.registry import kinds, task_of
from freehold.tasks.shapes import Wire

described = document(SETTINGS, {})
schema = schemathesis.openapi.from_dict(described)


@schemathesis.serializer("application/jsonl")
def lines(context: object, value: object) -> bytes:
    """A file is any text; what it is to hold no schema of JSON can say."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    places = FakeEngine(FakeMeta(model="places", task="token-classification"))
    folder = tmp_path_factory.mktemp("batches")
    with Database.open_file(folder / "freehold.db") as database:
        add_customer(database)
        batches = batches_of(database, folder, most_open=10**6)
        with serving(NoGate(), FakeEngine(), places, batches=batches) as running:
            with client(running, "any") as http:
                made = http.post("/batches?model=bank", content=b'{"inputs": "a"}').json()
                known.append(made["id"])
            yield running


known: list[str] = []


@schema.parametrize()
@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_any_request_is_answered_as_described(
    case: schemathesis.Case, server: ServerThread
) -> None:
    if case.path_parameters and len(case.path_parameters.get("name", "")) % 2:
        case.path_parameters["name"] = "bank"  # so that bodies reach a model, half of the time
    right = case.meta is not None and case.meta.generation.mode.is_positive
    if right and case.path_parameters and len(case.path_parameters.get("batch_id", "")) % 2:
        case.path_parameters["batch_id"] = known[0]
    if case.path == "/batches" and case.query and len(str(case.query.get("model"))) % 2:
        case.query["model"] = "bank"
    case.call_and_validate(
        base_url=server.url,
        headers={"Authorization": "Bearer any"},
        excluded_checks=[
            schemathesis.checks.ignored_auth,  # this gate lets everybody in
            # What a model takes depends on its task, which a path cannot say.
            schemathesis.checks.positive_data_acceptance,
        ],
    )


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("tasks") / "tiny"
    with serving(NoGate(), *(tiny_engine(kind, folder) for kind in kinds())) as running:
        yield running


@pytest.mark.parametrize("kind", kinds())
def test_what_a_task_s_schema_allows_is_answered_by_its_schema(
    kind: str, tasks: ServerThread
) -> None:
    of_task = schemathesis.openapi.from_dict(document(SETTINGS, {kind: kind}))
    operation = of_task["/models/{name}"]["POST"]

    @given(case=operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE))
    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def allowed(case: schemathesis.Case) -> None:
        case.path_parameters = {"name": kind}
        case.headers.pop("Idempotency-Key", None)
        parameters = case.body.get("parameters") or {}
        for name, value in parameters.items():
            if isinstance(value, float):  # 1.0 is a whole number to JSON Schema, but not here
                parameters[name] = int(value)
        if labels := parameters.get("candidate_labels"):
            # Texts times labels are bounded, which no schema of one request can say.
            texts = len(case.body["inputs"]) if isinstance(case.body["inputs"], list) else 1
            parameters["candidate_labels"] = labels[: max(1, SETTINGS.max_inputs // texts)]
        case.call_and_validate(
            base_url=tasks.url,
            headers={"Authorization": "Bearer any"},
            excluded_checks=[schemathesis.checks.ignored_auth],
        )

    allowed()


@pytest.mark.parametrize("kind", kinds())
def test_examples_of_a_task_fit_its_own_schema_and_no_stranger_s(
    kind: str, tasks: ServerThread
) -> None:
    name = "".join(part.capitalize() for part in kind.split("-"))
    request, answer = validator(f"{name}Request"), validator(f"{name}Answer")
    fields = task_of(kind).parameters.__struct_fields__
    with client(tasks, "k") as http:
        for inputs, answered in task_of(kind).wire.examples:
            answer.validate(answered)
            for body in (
                {"inputs": inputs},
                {"inputs": inputs, "parameters": None, "options": {"use_cache": False}},
                {"inputs": inputs, "parameters": dict.fromkeys(fields)},
                {"inputs": inputs, "misspelt": 1},
                {"inputs": inputs, "parameters": {"misspelt": 1}},
                {"inputs": [5]},
                {"inputs": []},
            ):
                reply = http.post(f"/models/{kind}", json=body)
                assert request.is_valid(body) == (reply.status_code == 200), reply.text
                if reply.status_code == 200:
                    answer.validate(reply.json())
    assert document(SETTINGS, {"m": kind})["components"]["schemas"].keys() >= {f"{name}Request"}


def validator(name: str) -> Draft202012Validator:
    """Of a schema of the document, whose objects have no fields but those it names."""
    strict = json.loads(json.dumps(described["components"]))
    for schema in strict["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": strict})


def test_the_document_names_every_path(server: ServerThread) -> None:
    with client(server) as http:
        shown = http.get("/openapi.json").json()
        assert shown["paths"].keys() == described["paths"].keys()
        for path, methods in described["paths"].items():
            for method in methods:
                response = http.request(method, path.replace("{name}", "bank"))
                assert response.status_code not in (404, 405), path
    answer = described["paths"]["/models/{name}"]["post"]
    assert answer["security"] == [{"bearer": []}]
    assert answer["responses"].keys() >= {"200", "401", "404", "409", "413", "422", "429", "503"}
    for status in ("429", "503"):
        assert "Retry-After" in answer["responses"][status]["headers"]


def test_types_of_one_name_in_two_tasks_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Part(TypedDict):
        elsewhere: int

    task = task_of("regression")
    other = Wire(one=str, answers=(list[Part],), examples=(("a", [{"elsewhere": 1}]),))
    monkeypatch.setattr(type(task), "wire", other)
    components = document(SETTINGS, {})["components"]
    for name, answer in (
        ("RegressionAnswer", [{"elsewhere": 1}]),
        ("QuestionAnsweringAnswer", task_of("question-answering").wire.examples[0][1]),
    ):
        schema = {"$ref": f"#/components/schemas/{name}", "components": components}
        Draft202012Validator(schema).validate(answer)
        assert not Draft202012Validator(schema).is_valid([{"x": "y"}])
