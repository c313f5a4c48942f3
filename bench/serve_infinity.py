"""infinity-emb's own command line, which knows our model's class: a peer of bench/serve.py.

Run in .venv-serve-peers: `serve_infinity.py v2 --model-id CHECKPOINT …`.
"""

from __future__ import annotations

import os

import torch
from infinity_emb.cli import cli

import serve_mean  # noqa: F401 - registers the model's class

if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    cli()
