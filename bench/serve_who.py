"""Who bench/serve.py measures: how each is started, asked, and found to give the same answers."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serve_load import Running, free_port, post, raw_request, running, write_requests
from serve_setup import MODEL, Bench

__all__ = ["Contender", "freehold", "infinity", "litserve", "v2_requests"]

HERE = Path(__file__).parent
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Contender:
    """A server of the model. `answers(url, texts)` are its (label, score) pairs of each text."""

    name: str
    start: Callable[[], contextlib.AbstractContextManager[Running]]
    requests: Path
    answers: Callable[[str, Sequence[str]], list[list[tuple[str, float]]]]


def freehold(
    bench: Bench, threads: int, more: Sequence[str], *, metered: bool = True, batch: int = 1
) -> Contender:
    """The product's own command, or the same without metering."""
    name = "freehold" if metered else "unmetered"
    program = ["-m", "freehold"] if metered else [str(HERE / "serve_null.py")]
    headers = {**JSON, "Authorization": f"Bearer {bench.key}"}
    path = f"/models/{MODEL}"

    @contextlib.contextmanager
    def start() -> Iterator[Running]:
        words = [sys.executable, *program, "serve", "--port", "0", "--threads", str(threads)]
        words += [*more, "--json", "--project", str(bench.project)]
        log = bench.folder / "logs" / f"{name}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        with running(words, log, ready="/ready", environment=environment) as server:
            yield server

    def answers(url: str, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        found = post(url, path, json.dumps({"inputs": list(texts)}).encode(), headers)
        return [[(one["label"], one["score"]) for one in row] for row in found]

    groups = [bench.texts[at : at + batch] for at in range(0, len(bench.texts), batch)]
    bodies = [json.dumps({"inputs": list(g) if batch > 1 else g[0]}).encode() for g in groups]
    requests = [raw_request(path, body, headers) for body in bodies]
    file = bench.folder / "requests" / f"hf-{batch}.bin"
    return Contender(name, start, write_requests(file, requests), answers)


def v2_requests(bench: Bench, url: str) -> Path | None:
    """Open Inference Protocol V2 with binary tensors both ways, one text a request, as tritonclient
    makes them; None where the server has no such contract."""
    from tritonclient.http import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    headers = {"Authorization": f"Bearer {bench.key}"}
    client = InferenceServerClient(url.removeprefix("http://"))
    try:
        described = client.get_model_metadata(MODEL, headers=headers)
    except InferenceServerException:
        return None
    finally:
        client.close()
    given = described["inputs"][0]
    requests = [v2_request(text, given["name"], headers) for text in bench.texts]
    return write_requests(bench.folder / "requests" / "v2.bin", requests)


def v2_request(text: str, name: str, headers: dict[str, str]) -> bytes:
    import numpy as np
    from tritonclient.http import InferenceServerClient, InferInput

    tensor = InferInput(name, [1], "BYTES")
    tensor.set_data_from_numpy(np.array([text.encode()], dtype=np.object_), binary_data=True)
    # Without named outputs the client asks for all of them in binary.
    body, length = InferenceServerClient.generate_request_body([tensor])
    of_head = {"Inference-Header-Content-Length": str(length)} if length is not None else {}
    kind = {"Content-Type": "application/octet-stream"}
    return raw_request(f"/v2/models/{MODEL}/infer", body, {**headers, **kind, **of_head})


def litserve(
    bench: Bench, python: str, *, threads: int, most: int, wait: float, workers: int
) -> Contender:
    """LitServe over a transformers pipeline."""

    @contextlib.contextmanager
    def start() -> Iterator[Running]:
        port = free_port()
        words = [python, str(HERE / "serve_litserve.py"), str(bench.checkpoint), str(port)]
        words += [str(most), str(wait), str(workers)]
        with running(
            words,
            bench.folder / "logs" / "litserve.log",
            ready="/health",
            url=f"http://127.0.0.1:{port}",
            environment=quiet_environment(threads),
        ) as server:
            yield server

    def answers(url: str, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        found = [post(url, "/predict", json.dumps({"inputs": t}).encode(), JSON) for t in texts]
        return [[(one["label"], one["score"]) for one in row] for row in found]

    bodies = [json.dumps({"inputs": text}).encode() for text in bench.texts]
    requests = [raw_request("/predict", body, JSON) for body in bodies]
    file = write_requests(bench.folder / "requests" / "litserve.bin", requests)
    return Contender("litserve", start, file, answers)


def infinity(bench: Bench, python: str, *, threads: int, most: int, compiled: bool) -> Contender:
    """infinity's torch engine, asked by its /classify."""

    @contextlib.contextmanager
    def start() -> Iterator[Running]:
        port = free_port()
        words = [python, str(HERE / "serve_infinity.py"), "v2", "--model-id", str(bench.checkpoint)]
        words += ["--served-model-name", MODEL, "--engine", "torch", "--device", "cpu"]
        words += ["--batch-size", str(most), "--host", "127.0.0.1", "--port", str(port)]
        words += ["--log-level", "warning", "--compile" if compiled else "--no-compile"]
        with running(
            words,
            bench.folder / "logs" / "infinity.log",
            ready="/health",
            url=f"http://127.0.0.1:{port}",
            environment=quiet_environment(threads),
        ) as server:
            yield server

    def body(texts: Sequence[str]) -> bytes:
        return json.dumps({"model": MODEL, "input": list(texts)}).encode()

    def answers(url: str, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        found: Any = post(url, "/classify", body(texts), JSON)
        return [[(one["label"], one["score"]) for one in row] for row in found["data"]]

    requests = [raw_request("/classify", body([text]), JSON) for text in bench.texts]
    file = write_requests(bench.folder / "requests" / "infinity.bin", requests)
    return Contender("infinity", start, file, answers)


def quiet_environment(threads: int) -> dict[str, str]:
    """A peer's: no network, no telemetry, so many threads of its model."""
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "OMP_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "DO_NOT_TRACK": "1",
        "INFINITY_ANONYMOUS_USAGE_STATS": "0",
    }
