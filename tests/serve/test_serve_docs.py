"""The docs name every path, status, header, parameter, metric, log field and tensor there is."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from serving import SETTINGS, FakeMeta, NoGate, client, serving

from freehold.serve.contracts.hf import decode
from freehold.serve.openapi import document
from freehold.tasks.registry import kinds, task_of

BATCHES = Path(__file__).parents[2] / "docs" / "batches.md"
PAGE = Path(__file__).parents[2] / "docs" / "serve.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def contracts() -> str:
    return PAGE.with_name("contracts.md").read_text(encoding="utf-8")


def test_what_openapi_describes(page: str, contracts: str) -> None:
    described = document(SETTINGS, {})
    for path, methods in described["paths"].items():
        if path.startswith("/batches"):
            continue
        for method, operation in methods.items():
            shown = path.replace("{name}", "NAME").replace("{version}", "VERSION")
            assert f"`{method.upper()} {shown}`" in page + contracts
            for status in operation["responses"]:
                assert status == "200" or f"| {status} |" in page
    for header in described["components"]["headers"]:
        assert f"`{header}" in page
    for kind in kinds():
        assert f"### {kind}" in page
        for parameter in task_of(kind).parameters.__struct_fields__:
            assert f"`{parameter}`" in page.partition(f"### {kind}")[2].partition("### ")[0]


def test_what_openapi_describes_of_batches() -> None:
    page = BATCHES.read_text(encoding="utf-8")
    described = document(SETTINGS, {})
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if not path.startswith("/batches"):
                continue
            assert f"`{method.upper()} {path}" in page
            for parameter in operation["parameters"]:
                assert (
                    f"`{parameter['name']}`" in page
                    or f"?{parameter['name']}=" in page
                    or (f"{{{parameter['name']}}}" in page)
                )
            for status in operation["responses"]:
                assert status in page or status in ("200", "422")
            for header in operation["responses"].get("200", {}).get("headers", ()):
                assert f"`{header}" in page
    for name, field in described["components"]["schemas"]["Batch"]["properties"].items():
        assert (
            f'"{name}"' in page
            or f"`{name}`" in page
            or name in ("created_at", "started_at", "ended_at")
        )
        for value in field.get("enum", ()):
            assert f"| `{value}` |" in page


def test_metrics_and_log_fields(page: str) -> None:
    log = io.StringIO()
    with serving(NoGate(), log=log) as server, client(server, "k") as http:
        http.post("/models/bank", json={"inputs": "a"})
        for metric in server._service.metrics.registry.collect():
            names = (f"`{metric.name}`", f"`{metric.name}_total`")
            assert any(name in page for name in names), metric.name
    for field in json.loads(log.getvalue()):
        assert f"`{field}`" in page


@pytest.mark.parametrize("kind", kinds())
def test_the_request_and_the_answer_that_are_shown_fit_the_schema(kind: str, page: str) -> None:
    section = page.partition(f"### {kind}\n")[2].partition("### ")[0]
    request, answer = map(json.loads, section.split("```")[1].strip().splitlines())
    described = document(SETTINGS, {"m": kind})["components"]
    for value, name in ((request, "Request"), (answer, "Answer")):
        schema = {"$ref": f"#/components/schemas/{name}", "components": described}
        Draft202012Validator(schema).validate(value)
    assert decode(json.dumps(request).encode(), FakeMeta(task=kind), 3).texts


@pytest.mark.parametrize("kind", kinds())
def test_the_tensors_of_each_task(kind: str, contracts: str) -> None:
    (row,) = [line for line in contracts.splitlines() if line.startswith(f"| {kind} |")]
    _, _, inputs, outputs, _ = row.split("|")
    assert inputs.replace("`", "").replace(" ", "").split(",") == list(task_of(kind).columns)
    if kind != "pair-classification":  # which has "the same"
        assert all(f"`{one.name}`" in outputs for one in task_of(kind).tensors)
        assert {one.datatype for one in task_of(kind).tensors} == {
            datatype for datatype in ("BYTES", "FP32", "INT32", "BOOL") if datatype in outputs
        }
