"""/docs: the OpenAPI document as one page that needs no network and no script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

__all__ = ["render"]

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1b2530}
body{max-width:52rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem;border-bottom:1px solid #d5dce3;padding-bottom:.3rem}
code,pre{font:14px/1.5 ui-monospace,monospace}pre{background:#f3f6f8;padding:.8rem;overflow:auto}
b.m{color:#fff;background:#2d5f8b;border-radius:.2rem;padding:.1rem .5rem;font-size:.8em}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid #e4e9ed}
"""


def render(document: Mapping[str, Any]) -> str:
    """The document as HTML."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return "".join(
        (
            "<!doctype html><html lang=en><head><meta charset=utf-8>",
            "<meta name=viewport content='width=device-width,initial-scale=1'>",
            f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
            f"<p>{escape(info['description'])}</p>",
            "<p>The same for programs: <a href=/openapi.json>/openapi.json</a>.</p>",
            *_operations(document["paths"]),
            "<h2>Schemas</h2>",
            *_schemas(document["components"]["schemas"]),
            "</body></html>",
        )
    )


def _operations(paths: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield f"<h2><b class=m>{escape(method.upper())}</b> <code>{escape(path)}</code></h2>"
            said = f"{operation['summary']} {operation.get('description', '')}"
            yield f"<p>{escape(said)}</p>"
            if operation.get("security"):
                yield "<p>Needs <code>Authorization: Bearer fh_…</code>.</p>"
            yield from _parameters(operation.get("parameters", ()))
            yield from _body(operation.get("requestBody"))
            yield from _responses(operation["responses"])


def _parameters(parameters: Any) -> Iterator[str]:
    if parameters:
        yield "<table><tr><th>Parameter<th>In<th>What it is"
        for parameter in parameters:
            yield f"<tr><td><code>{escape(parameter['name'])}</code><td>{escape(parameter['in'])}"
            yield f"<td>{escape(parameter['description'])}"
        yield "</table>"


def _body(body: Mapping[str, Any] | None) -> Iterator[str]:
    if body:
        yield f"<p>Body: {escape(body.get('description', ''))}</p>"
        for content in body["content"].values():
            for example in content.get("examples", {}).values():
                yield f"<pre>{_json(example['value'])}</pre>"


def _responses(responses: Mapping[str, Any]) -> Iterator[str]:
    yield "<table><tr><th>Status<th>Meaning<th>Headers"
    for status, response in responses.items():
        headers = ", ".join(response.get("headers", {}))
        yield f"<tr><td>{escape(status)}<td>{escape(response['description'])}<td>{escape(headers)}"
    yield "</table>"


def _schemas(schemas: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in schemas.items():
        yield f"<h3>{escape(name)}</h3><pre>{_json(schema)}</pre>"


def _json(value: Any) -> str:
    return escape(json.dumps(value, indent=2, ensure_ascii=False))
