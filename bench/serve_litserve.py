"""LitServe over a transformers pipeline, with its batching on: a peer of bench/serve.py.

Run in .venv-serve-peers: `serve_litserve.py CHECKPOINT PORT MAX_BATCH_SIZE BATCH_TIMEOUT WORKERS`.
OMP_NUM_THREADS says how many threads a worker's model has.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import litserve
import torch


class Classifier(litserve.LitAPI):
    """{"inputs": TEXT} -> [{"label", "score"}], all labels, likeliest first."""

    def __init__(self, checkpoint: str, **options: Any) -> None:
        super().__init__(api_path="/predict", **options)
        self.checkpoint = checkpoint

    def setup(self, device: str) -> None:
        from transformers import pipeline

        import serve_mean  # noqa: F401 - registers the model's class, in the worker

        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.pipe = pipeline("text-classification", self.checkpoint, device=device, top_k=None)

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe reads types
        return str(request["inputs"])

    def predict(self, texts: list[str]) -> list[Any]:
        found: list[Any] = self.pipe(texts, batch_size=len(texts), truncation=True, max_length=64)
        return found

    def encode_response(self, output: Any) -> Any:
        return output


def main(checkpoint: str, port: str, most: str, wait: str, workers: str) -> None:
    api = Classifier(checkpoint, max_batch_size=int(most), batch_timeout=float(wait))
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(workers))
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
