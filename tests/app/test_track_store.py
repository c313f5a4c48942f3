"""An MLflow store that fails costs one remark: it is missing, down, or not what it should be."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from freehold.app.track_store import Store, located


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("sqlite:///runs.db", "sqlite:////home/bank/runs.db"),
        ("sqlite:///data/runs.db?timeout=5", "sqlite:////home/bank/data/runs.db?timeout=5"),
        ("sqlite:////var/runs.db", "sqlite:////var/runs.db"),
        ("mlruns", "file:///home/bank/mlruns"),
        ("file:mlruns", "file:///home/bank/mlruns"),
        ("file:///var/mlruns", "file:///var/mlruns"),
        ("/var/mlruns", "file:///var/mlruns"),
        ("http://tracking:5000", "http://tracking:5000"),
        ("postgresql://u:p@host/runs", "postgresql://u:p@host/runs"),
    ],
)
def test_where_a_store_lies_does_not_depend_on_where_one_stands(given: str, found: str) -> None:
    assert located(given, Path("/home/bank")) == found


def _used(store: Store) -> None:
    """All that a training does with it."""
    run = store.begin("bank", "bank", {"a": "b"})
    store.log(run, params={"epochs": 2}, metrics={"loss": 1.0}, step=1)
    store.keep_text(run, "card.md", "# bank@1")
    store.end(run, "FINISHED", "bank@1")
    assert store.find("bank", {"a": "b"}) is None


def test_a_server_that_is_down_is_remarked_once() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]
        told: list[str] = []
        _used(Store(f"http://anna:secret@127.0.0.1:{port}", told.append))
    (sentence,) = told
    assert sentence.startswith(f"Runs are not logged to http://127.0.0.1:{port}: ")
    assert sentence.endswith("The work goes on.")
    assert "secret" not in sentence


def test_mlflow_that_is_not_installed_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    told: list[str] = []
    _used(Store(f"sqlite:///{tmp_path}/runs.db", told.append))
    (sentence,) = told
    assert "mlflow is not installed: pip install 'freehold[mlflow]'" in sentence


def test_a_file_that_is_no_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_text("not a database, but long enough to be read as one" * 20)
    told: list[str] = []
    _used(Store(f"sqlite:///{tmp_path}/runs.db", told.append))
    (sentence,) = told
    assert "file is not a database" in sentence


class _Server(BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as a run needs; it answers files with an error."""

    seen: list[tuple[str, Any]]

    def _answer(self, code: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        self._handle({})

    def do_PUT(self) -> None:
        self._handle({})

    def do_POST(self) -> None:
        self._handle(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    def _handle(self, asked: Any) -> None:
        what = self.path.partition("?")[0].removeprefix("/api/2.0/mlflow/")
        self.seen.append((what, asked))
        run = {
            "info": {
                "run_id": "r1", "run_uuid": "r1", "experiment_id": "7", "status": "RUNNING",
                "artifact_uri": "mlflow-artifacts:/7/r1/artifacts", "lifecycle_stage": "active",
            },
            "data": {},
        }  # fmt: skip
        answers: dict[str, Any] = {
            "experiments/get-by-name": {
                "experiment": {
                    "experiment_id": "7",
                    "name": "bank",
                    "lifecycle_stage": "active",
                    "artifact_location": "mlflow-artifacts:/7",
                }
            },
            "runs/create": {"run": run},
            "runs/get": {"run": run},
            "runs/update": {"run_info": run["info"]},
            "runs/log-batch": {},
            "runs/search": {"runs": []},
        }
        if what in answers:
            self._answer(200, answers[what])
        else:
            self._answer(403, {"error_code": "PERMISSION_DENIED", "message": "no files here"})

    def log_message(self, *_: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    seen: list[tuple[str, Any]] = []
    handler = type("Handler", (_Server,), {"seen": seen})
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}", seen
        finally:
            http.shutdown()
            thread.join()


def test_a_server_that_takes_no_files_still_takes_the_figures(
    server: tuple[str, list[tuple[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    url, seen = server
    told: list[str] = []
    _used(Store(url, told.append))
    (sentence,) = told
    assert sentence.startswith(f"Files are not logged to {url}: 403 ")
    asked = [what for what, _ in seen if what.startswith("runs/")]
    assert asked.index("runs/create") < asked.index("runs/log-batch") < asked.index("runs/update")
    batch = next(body for what, body in seen if what == "runs/log-batch")
    assert batch["params"] == [{"key": "epochs", "value": "2"}]
    assert (batch["metrics"][0]["key"], batch["metrics"][0]["step"]) == ("loss", 1)
    ended = [body for what, body in seen if what == "runs/update"]
    assert {body.get("run_name") for body in ended} >= {"bank@1"}
    assert {body.get("status") for body in ended} >= {"FINISHED"}
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")  # a verb's document is all there is on stdout
