"""The OpenAPI document is what the server does: every path is there, and no input makes it fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from serving import SETTINGS, FakeEngine, FakeMeta, NoGate, client, serving

from freehold.serve.openapi import document
from freehold.serve.server import ServerThread

described = document(SETTINGS, {"bank": "text-classification"})
schema = schemathesis.openapi.from_dict(described)


@pytest.fixture(scope="module")
def server() -> Iterator[ServerThread]:
    places = FakeEngine(FakeMeta(model="places", task="token-classification"))
    with serving(NoGate(), FakeEngine(), places) as running:
        yield running


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
    case.call_and_validate(
        base_url=server.url,
        headers={"Authorization": "Bearer any"},
        excluded_checks=[
            schemathesis.checks.ignored_auth,  # this gate lets everybody in
            # Which parameters a model takes depends on its task, which a path cannot say.
            schemathesis.checks.positive_data_acceptance,
        ],
    )


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
