"""schemathesis over the whole OpenAPI document of a server with every task: no request that it can
think of, right or wrong, is answered with a 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from serving import SETTINGS, NoGate, add_customer, batches_of, serving, tiny_engine

from freehold.serve import listing
from freehold.serve.openapi import document
from freehold.serve.server import ServerThread
from freehold.store.database import Database
from freehold.tasks.registry import kinds

EXAMPLES = 500
schema = schemathesis.openapi.from_dict(document(SETTINGS, {kind: kind for kind in kinds()}))


@schemathesis.serializer("application/jsonl")
def lines(context: object, value: object) -> bytes:
    """A file is any text; what it is to hold no schema of JSON can say."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("any")
    engines = [tiny_engine(kind, folder / "tiny") for kind in kinds()]
    with Database.open_file(folder / "freehold.db") as database:
        add_customer(database)
        batches = batches_of(database, folder, most_open=10**6)
        with serving(NoGate(), *engines, batches=batches) as running:
            yield running


def call(case: schemathesis.Case, server: ServerThread) -> None:
    for name, value in (case.path_parameters or {}).items():
        if isinstance(value, str) and len(value) % 4:  # so that most requests reach a model
            case.path_parameters[name] = list(kinds())[len(value) % len(kinds())]
    response = case.call(base_url=server.url, headers={"Authorization": "Bearer any"})
    assert response.status_code < 500, (response.status_code, case.as_curl_command())


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_makes_the_server_fail(case: schemathesis.Case, server: ServerThread) -> None:
    call(case, server)


def test_a_server_that_fails_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("spoilt")

    monkeypatch.setattr(listing, "_model", broken)
    operation = schema["/models"]["GET"]
    with serving(NoGate()) as running, pytest.raises(AssertionError, match="500"):
        call(operation.Case(), running)
